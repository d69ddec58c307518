"""The words of a body that was to be an answer of Ollama's: its own error, or the page of a proxy in front of it. Pure.

Every error that quotes an upstream body takes its words from here, and recognition.py the title of a page. A hostile
body neither holds the process nor makes it fail: each step is linear in its length.
"""

from __future__ import annotations

import html
import re
from typing import NamedTuple

import msgspec

from clawgate.ollama.lenient import MAX_WORDS, words_in
from clawgate.ollama.ndjson import UNREADABLE

MAX_SOURCE = 80
MAX_PAGE_BYTES = 1 << 14
"""A page is read so far: its title comes early, and an error page is short."""
_TAG = re.compile(r"<(/?[a-z][a-z0-9]{0,15}|[!?])[^<>]*>", re.IGNORECASE)
"""A longer name is cut, and is none that counts: without a bound, a tag without an end takes quadratic time."""
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_UNSEEN = ("script", "style", "template", "svg")


def words_of(body: bytes) -> str:
    """Return what a body says: Ollama's `error`, the title of a page, else the text as it is, cut to 500 characters."""
    try:
        words = words_in(msgspec.json.decode(body)["error"])
    except (*UNREADABLE, KeyError, TypeError):
        words = ""
    if words:
        return words
    if body.lstrip().startswith(b"<"):
        page = _read_page(body)
        return page.title or page.heading or page.text or page.source
    return body.decode("utf-8", "replace").strip()[:MAX_WORDS]


def title_of(body: bytes) -> str:
    """Return the title of a page, else its first heading; "" where it has neither, or is none."""
    page = _read_page(body)
    return page.title or page.heading


class _Page(NamedTuple):
    """The words of a page, each on one line, with entities decoded.

    source: its beginning as it is, for one without any words: it is a cut one, or not made to be read.
    """

    title: str
    heading: str
    text: str
    source: str


def _read_page(body: bytes) -> _Page:
    page = _without_comments(body[:MAX_PAGE_BYTES].decode("utf-8", "replace"))
    title: list[str] = []
    heading: list[str] = []
    text: list[str] = []
    within = ""  # the element whose text is not the page's own
    position = 0
    for tag in _TAG.finditer(page):
        piece, position = page[position : tag.start()], tag.end()
        {"title": title, **dict.fromkeys(_HEADINGS, heading)}.get(within, text if not within else []).append(piece)
        name = tag[1].lower()
        if within:
            within = "" if name == f"/{within}" else within
        elif name == "title" or (name in _HEADINGS and not heading) or name in _UNSEEN:
            within = name
    if not within:
        text.append(page[position:])
    return _Page(_joined(title), _joined(heading), _joined(text), page.strip()[:MAX_SOURCE])


def _joined(pieces: list[str]) -> str:
    text = " ".join(pieces)
    try:
        text = html.unescape(text)
    except ValueError:
        pass  # a number among the entities is longer than Python reads
    return on_one_line(text)[:MAX_WORDS]


def on_one_line(text: str) -> str:
    """Return a foreign text without control characters and marks of direction, its blanks as one space each."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def _without_comments(page: str) -> str:
    """Cut out comments, in which anything may look like a tag."""
    first, *rest = page.split("<!--")
    return first + " ".join(piece.partition("-->")[2] for piece in rest)
