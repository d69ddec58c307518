"""The reading of pictures: what goes to Ollama is base64 that Ollama decodes, of bytes that a model may see or hear.

The modules that declare a message use it. Ollama takes the standard alphabet with its padding, and nothing around it.
Other ways to write the same become that: a `data:` prefix and blanks go, the alphabet of URLs is exchanged for the
standard one, padding is added. Anything else is refused in words that say what was found instead. A picture may be as
long as a body: it is looked at a window at a time, copied once, and never decoded.
Source: Go encoding/json, `[]byte`; Go encoding/base64, StdEncoding.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator

import msgspec
from msgspec import Raw

from clawgate.web.door import shapes
from clawgate.web.door.reading import kind_of
from clawgate.web.door.shapes import Fields

MAX_IMAGES = 1000
"""Pictures in one message; a model takes some hundred tokens for each."""
SCHEMA = {
    "maxItems": MAX_IMAGES,
    "items": {"type": "string", "format": "byte", "description": "A picture, or data:image/…;base64, and a picture."},
}
"""The list as JSON Schema."""
WINDOW_BYTES = 1 << 16
ESCAPE_BYTES = 6
HEAD_CHARS = 64
"""Characters of base64 whose bytes tell what a picture is."""

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_STANDARD = bytes.maketrans(b"-_", b"+/")
_BLANKS = b" \t\r\n"
_BLANK = rb"(?:[ ]|\\[rnt])*"
_DATA = re.compile(_BLANK + rb"(?:data:|[a-z]{1,20}\\?/[a-z0-9.+-]{1,99}" + _BLANK + rb";)[^,]{0,1000},", re.IGNORECASE)
"""Some clients cut `data:` off and leave the type: no base64 has a semicolon."""
_IS_BASE64 = re.compile(rb";" + _BLANK + rb"base64" + _BLANK + rb",\Z", re.IGNORECASE)
_ADDRESS = re.compile(_BLANK + rb"[a-z][a-z0-9+.-]+:", re.IGNORECASE)

_TAKEN = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|RIFF....WEBP|BM.{4}\0{4}"
    rb"|II\*\0|MM\0\*|....ftyp(?:avif|avis|hei[cxms]|hev[cx]|mif1|msf1)|\0\0\0\x0c(?:JXL |jP  )|\xff\x0a"
    rb"|\0\0\x01\0|8BPS|#\?RADIANCE|P[1-6]\s"
    rb"|RIFF....WAVE|ID3|\xff[\xe2-\xfd]|fLaC|OggS",
    re.DOTALL,
)
"""The first bytes of every kind of picture, whether or not a model sees it: Ollama decides that, by its version and its
engine. Ollama takes recordings as images too, for the models that hear.
Source: Ollama llm/media.go and x/mlxrunner/model/base/media.go; llama.cpp's stb_image.h."""
_NOT_TAKEN = tuple(
    (re.compile(head, re.DOTALL | re.IGNORECASE), words)
    for head, words in (
        (rb"%PDF", "a PDF: send its pages as pictures"),
        (rb"\s*<(?:!doctype svg|svg)", "an SVG drawing: send it as PNG"),
        (rb"\s*<(?:!doctype html|html|head|body)", "an HTML page"),
        (rb"\s*<\?xml", "XML: send a drawing as PNG"),
        (rb"PK\x03\x04", "an archive or an office document: send its pages as pictures"),
        (rb"....ftyp|\x1aE\xdf\xa3|RIFF....AVI ", "a video: send single pictures of it"),
        (rb"data:|iVBORw0KG|/9j/|UklGR|R0lGOD", "base64 of base64: encode it once"),
        (rb"[\t\n\r -~\x80-\xff]+\Z", "a text"),
    )
)
NOT_BASE64 = "a text that is not base64; send the bytes of the picture as base64, not the name of a file"
ADDRESS = "an address, which is not fetched; send the picture itself as base64"
NO_DATA = "a data: address without base64; send the picture as base64"
NO_PICTURE = "bytes that begin like no known kind of picture"


def images(value: Raw, path: str, fields: Fields) -> tuple[str, ...] | Raw:
    """Keep a list of pictures as JSON of the base64 that Ollama takes.

    Errors: BadRequest that names the picture by its path, says what it was, and does not repeat it.
    """
    given = shapes.items(value, path, fields)
    if len(given) > MAX_IMAGES:
        raise fields.wrong(path, f"{len(given)} of them")
    pieces: list[bytes | bytearray | memoryview] = []
    for index, each in enumerate(given):
        pieces += (b'","', image(each, f"{path}[{index}]", fields))
    return Raw(b"".join((b'["', *pieces[1:], b'"]'))) if pieces else ()


def image(value: Raw, path: str, fields: Fields) -> bytes | bytearray | memoryview:
    """Take one picture: a JSON string; return the base64 that Ollama takes, a view of the body where that is right.

    Errors: BadRequest that says what it was.
    """
    if kind_of(value) != "str":
        raise fields.wrong(path, kind_of(value))
    text = memoryview(value)[1:-1]
    prefix = _DATA.match(text)
    if prefix is not None:
        if not _IS_BASE64.search(prefix[0]):
            raise fields.wrong(path, NO_DATA)
        text = text[prefix.end() :]
    base64 = text if is_base64(text) else normalised(text)
    if base64 is None:
        raise fields.wrong(path, ADDRESS if _ADDRESS.match(text) else NOT_BASE64)
    if not base64:
        raise fields.wrong(path, "an empty text")
    head = binascii.a2b_base64(base64[:HEAD_CHARS])
    if not _TAKEN.match(head):
        raise fields.wrong(path, next((words for known, words in _NOT_TAKEN if known.match(head)), NO_PICTURE))
    return base64


def is_base64(text: memoryview | bytearray) -> bool:
    """Tell whether Ollama decodes a text as it is."""
    view = memoryview(text)
    padding = bytes(view[-2:]).count(b"=")  # an = before another sign is left, and is none of the alphabet
    starts = range(0, len(view) - padding, WINDOW_BYTES)
    windows = (view[start : min(start + WINDOW_BYTES, len(view) - padding)] for start in starts)
    return len(view) % 4 == 0 and not any(bytes(window).translate(None, _ALPHABET) for window in windows)


def normalised(text: memoryview) -> bytearray | None:
    """Turn the inside of a JSON string into base64 that Ollama decodes; None where it is no base64 at all."""
    base64 = bytearray()
    try:
        for window in _windows(text):
            piece = _unescaped(window) if b"\\" in window else window
            base64 += piece.translate(_STANDARD, _BLANKS)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None
    base64 += b"=" * (-len(base64) % 4)  # three of them where no padding helps, and that is no base64
    return base64 if is_base64(base64) else None


def _unescaped(window: bytes) -> bytes:
    return msgspec.json.decode(b'"%b"' % window, type=str).encode("ascii")


def _windows(text: memoryview) -> Iterator[bytes]:
    """Cut the inside of a JSON string into windows, before an escape that does not fit.

    An escaped backslash may be cut; base64 has none, and a half of it is refused like the whole.
    """
    start = 0
    while start < len(text):
        window = bytes(text[start : start + WINDOW_BYTES])
        if start + len(window) < len(text):
            escape = window.rfind(b"\\", 1 - ESCAPE_BYTES)
            window = window[:escape] if escape > 0 else window
        yield window
        start += len(window)
