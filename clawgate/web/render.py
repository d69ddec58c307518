"""Markdown in, harmless HTML out: `POST /render`, so that the page needs no JavaScript library.

markdown-it parses with HTML off, Pygments colours code by class names, nh3 is the last door: whatever came through the
two, only the elements and attributes listed here leave. Nothing that a browser would fetch from elsewhere is among
them: an image of another place becomes a link to it.
Source: CommonMark 0.31; GitHub's tables, strikethrough and task lists.
"""

from __future__ import annotations

import html
import logging
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec
import nh3
from flask import Blueprint, Response, jsonify, request
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from mdit_py_plugins.tasklists import tasklists_plugin
from pygments import format, lex
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from clawgate.config import ServerConfig
from clawgate.errors import TooLarge
from clawgate.sockets import Clients
from clawgate.web.bodies import convert, read_object

log = logging.getLogger(__name__)
T = TypeVar("T")

MAX_TEXT_BYTES = 256 << 10
"""Three times an answer of 20,000 tokens; a second of CPU."""
MAX_BRACKETS = 500
"""In one paragraph: what looks for the end of each link costs their square (60,000 took 27 s)."""
MAX_HIGHLIGHTED = 16 << 10
"""Characters of one code block that are coloured; a longer one stays plain."""
HIGHLIGHTED = {
    *("bash", "c", "clojure", "cpp", "csharp", "css", "dart", "diff", "docker", "elixir", "erlang", "fsharp", "go"),
    *("graphql", "groovy", "haskell", "html", "http", "java", "javascript", "json", "julia", "kotlin", "lua", "make"),
    *("markdown", "nginx", "objective-c", "output", "perl", "php", "postgresql", "powershell", "protobuf", "pycon"),
    *("python", "ruby", "rust", "sql", "swift", "terraform", "tex", "text", "toml", "typescript", "xml", "yaml"),
}
"""Languages that are coloured, by Pygments' first name for each. Not all: 60,000 tabs as `easytrieve` are one match of
an expression that holds the interpreter for minutes. A test tries these with what such expressions dislike."""
HIGHLIGHT_S = 0.05
HIGHLIGHT_S_A_CHARACTER = 20e-6
"""CPU that colouring a block may take, looked at between its tokens: twenty times the usual, then it stays plain."""

TAGS = {
    *("h1", "h2", "h3", "h4", "h5", "h6", "p", "blockquote", "hr", "pre", "ol", "ul", "li", "label", "input"),
    *("table", "thead", "tbody", "tr", "th", "td"),
    *("a", "br", "code", "em", "img", "s", "span", "strong"),
}
ATTRIBUTES = {
    "a": {"href", "title", "class"},
    "code": {"class"},
    "img": {"src", "alt", "title"},
    "li": {"class"},
    "ol": {"start"},
    "span": {"class"},
    "td": {"class"},
    "th": {"class"},
    "ul": {"class"},
}
FIXED_VALUES = {"input": {"type": {"checkbox"}, "disabled": {"disabled"}, "checked": {"checked"}}}
CLASSES = {
    "a": r"remote-image",
    "code": r"language-[\w+#.-]{1,40}",
    "li": r"task-list-item",
    "span": r"[a-z]{1,3}[0-9]?",
    "td": r"left|right|center",
    "th": r"left|right|center",
    "ul": r"contains-task-list",
}
EMBEDDED_IMAGE = re.compile(r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]*\Z")

LINKED = re.compile(r"https?:|mailto:", re.IGNORECASE)
"""Where a link may lead; a relative one would lead into the gateway's own pages."""


class RenderBody(msgspec.Struct, frozen=True):
    """The body of POST /render."""

    text: str


class Renderer:
    """Turns Markdown into HTML that is safe to put into the page.

    Threads: a parse keeps its state to itself, so one renderer serves all threads.
    """

    def __init__(self) -> None:
        self._markdown = MarkdownIt("commonmark", {"html": False, "highlight": _highlighted, "maxNesting": 100})
        self._markdown.enable(["table", "strikethrough"]).use(tasklists_plugin, label=True)
        self._markdown.core.ruler.before("inline", "brackets", _leave_brackets)
        for name, rule in (("image", _image), ("th_open", _cell), ("td_open", _cell)):
            self._markdown.add_render_rule(name, rule)
        self._markdown.render("")  # the rules are compiled once, before there are threads

    def html_of(self, text: str) -> str:
        """Render a text; what the parser cannot take comes back as the text itself."""
        try:
            rendered = self._markdown.render(text)
        except Exception:  # a text is never a reason to show nothing
            log.exception("a text of %d characters could not be rendered", len(text))
            rendered = f"<pre><code>{html.escape(text)}</code></pre>"
        return nh3.clean(
            rendered,
            tags=TAGS,
            attributes=ATTRIBUTES,
            tag_attribute_values=FIXED_VALUES,
            set_tag_attribute_values={"a": {"target": "_blank"}},
            attribute_filter=_filtered,
            link_rel="noopener noreferrer nofollow",
            url_schemes={"http", "https", "mailto", "data"},
        )


def _leave_brackets(state: StateCore) -> None:
    """Leave a paragraph that is mostly brackets as the text that it is."""
    for token in state.tokens:
        if token.type == "inline" and token.content.count("[") > MAX_BRACKETS:
            token.children = [Token("text", "", 0, content=token.content)]
            token.content = ""


def _highlighted(code: str, language: str, _: str) -> str:
    """Colour a code block; an empty answer tells markdown-it to escape it as it is."""
    if not language or len(code) > MAX_HIGHLIGHTED:
        return ""
    try:
        lexer = get_lexer_by_name(language, stripnl=False)
        if lexer.aliases[0] not in HIGHLIGHTED:
            return ""
        return format(_in_time(lex(code, lexer), len(code)), HtmlFormatter(nowrap=True))
    except (ClassNotFound, TimeoutError):
        return ""


def _in_time(tokens: Iterable[T], length: int) -> Iterator[T]:
    ends_at = time.thread_time() + HIGHLIGHT_S + HIGHLIGHT_S_A_CHARACTER * length
    for token in tokens:
        if time.thread_time() > ends_at:
            raise TimeoutError
        yield token


def _image(self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    """Show an image that is in the text itself; make a link of any other, so that it is fetched only when asked for."""
    token = tokens[index]
    source = str(token.attrs.get("src", ""))
    words = self.renderInlineAsText(token.children or [], options, env)
    if EMBEDDED_IMAGE.match(source):
        return f'<img src="{html.escape(source)}" alt="{html.escape(words)}">'
    return f'<a class="remote-image" href="{html.escape(source)}">{html.escape(words or source)}</a>'


def _cell(self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    """Say a table cell's alignment as a class: the page's CSP allows no style attributes."""
    token = tokens[index]
    style = str(token.attrs.pop("style", ""))
    if style:
        token.attrSet("class", style.removeprefix("text-align:"))
    return self.renderToken(tokens, index, options, env)


def _filtered(tag: str, attribute: str, value: str) -> str | None:
    """Let single values through nh3: known class names, addresses that load nothing, images that are in the text."""
    if attribute == "class":
        kept = [name for name in value.split() if tag in CLASSES and re.fullmatch(CLASSES[tag], name)]
        return " ".join(kept) or None
    if attribute == "src":
        return value if EMBEDDED_IMAGE.match(value) else None
    if attribute == "href":
        return value if LINKED.match(value) else None
    return value


class RenderRoutes:
    """`POST /render` for the page."""

    def __init__(self, server: ServerConfig, clients: Clients) -> None:
        self._server = server
        self._clients = clients
        self._renderer = Renderer()

    def install(self, blueprint: Blueprint) -> None:
        """Add the route to the blueprint."""
        blueprint.add_url_rule("/render", "render", self.render, methods=["POST"])

    def render(self) -> Response:
        """Render `{"text": …}` as `{"html": …}`."""
        text = convert(read_object(request, self._server.max_body_bytes, self._clients.reads), RenderBody).text
        if len(text) > MAX_TEXT_BYTES or len(text.encode()) > MAX_TEXT_BYTES:
            raise TooLarge(f"text: expected at most {MAX_TEXT_BYTES} bytes of Markdown")
        return jsonify(html=self._renderer.html_of(text))
