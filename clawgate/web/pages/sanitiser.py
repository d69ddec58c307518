"""The last filter of the HTML: only the elements and attributes listed here pass, whatever the renderer made.

None of them makes a browser fetch something from elsewhere.
Threads: nh3 lets other threads run while it works. Its time grows with the length alone, 0.2 s for 1.5 MB.
"""

from __future__ import annotations

import re

import nh3

TAGS = {
    *("h1", "h2", "h3", "h4", "h5", "h6", "p", "blockquote", "hr", "pre", "ol", "ul", "li", "label", "input"),
    *("table", "thead", "tbody", "tr", "th", "td"),
    *("a", "br", "code", "div", "em", "img", "s", "span", "strong", "sub", "sup"),
    *("math", "mfrac", "mi", "mn", "mo", "mover", "mpadded", "mphantom", "mroot", "mrow", "mspace", "msqrt", "mstyle"),
    *("msub", "msubsup", "msup", "mtable", "mtd", "mtext", "mtr", "munder", "munderover"),
}
ATTRIBUTES = {
    "a": {"href", "title", "class"},
    "code": {"class"},
    "div": {"class", "data-footnote"},
    "img": {"src", "alt", "title"},
    "li": {"class"},
    "ol": {"start"},
    "span": {"class"},
    "sup": {"class", "data-footnote"},
    "td": {"class"},
    "th": {"class"},
    "math": {"alttext", "display"},
    "mfrac": {"linethickness"},
    "mi": {"mathvariant"},
    "mo": {
        *("fence", "form", "largeop", "lspace", "maxsize", "minsize", "movablelimits", "rspace", "separator"),
        *("stretchy",),
    },
    "mover": {"accent"},
    "mpadded": {"depth", "height", "lspace", "voffset", "width"},
    "mrow": {"class"},
    "mspace": {"depth", "height", "width"},
    "mstyle": {"displaystyle", "mathcolor", "scriptlevel"},
    "mtable": {"displaystyle"},
    "mtd": {"class"},
    "mtext": {"class"},
    "munder": {"accentunder"},
}
FIXED_VALUES = {"input": {"type": {"checkbox"}, "disabled": {""}, "checked": {""}}}
CLASSES = {
    "a": r"remote-image",
    "code": r"language-[\w+#.-]{1,40}|math",
    "div": r"footnote|math",
    "li": r"task-list-item",
    "mrow": r"b?cancel|boxed|sout|xcancel",
    "mtd": r"left|right|center|ruled|barred",
    "mtext": r"bold|italic|sans-serif|monospace",
    "span": r"[a-z]{1,3}[0-9]?|math",
    "sup": r"footnote",
    "td": r"left|right|center",
    "th": r"left|right|center",
}
EMBEDDED_IMAGE = re.compile(r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]*\Z")

LINKED = re.compile(r"https?:|mailto:", re.IGNORECASE)
"""The addresses that a link may have; a relative one would lead into the gateway's own pages."""


def _filtered(tag: str, attribute: str, value: str) -> str | None:
    """Pass single values: known class names, addresses that load nothing, images that are in the text."""
    if attribute == "class":
        kept = [name for name in value.split() if tag in CLASSES and re.fullmatch(CLASSES[tag], name)]
        return " ".join(kept) or None
    if attribute == "src":
        return value if EMBEDDED_IMAGE.match(value) else None
    if attribute == "href":
        return value if LINKED.match(value) else None
    return value


CLEANER = nh3.Cleaner(
    tags=TAGS,
    attributes=ATTRIBUTES,
    tag_attribute_values=FIXED_VALUES,
    set_tag_attribute_values={"a": {"target": "_blank"}},
    attribute_filter=_filtered,
    link_rel="noopener noreferrer nofollow",
    url_schemes={"http", "https", "mailto", "data"},
)
"""The filter: `CLEANER.clean(html)`."""
