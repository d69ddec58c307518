"""A request's body is read into the members of one JSON object, each still the bytes that it was.

Everything is bounded before anything is decoded: the length, the time that the body may take to come, the depth, the
number of elements and the length of names. The text is followed a window at a time, so that neither its length nor its
shape takes memory beside the body, or keeps other threads waiting for the interpreter.
"""

from __future__ import annotations

import codecs
import json
import logging
import re
from collections.abc import Iterator
from contextlib import nullcontext

import msgspec
from flask import Request
from msgspec import Raw
from werkzeug.exceptions import HTTPException

from clawgate.errors import BadRequest, TooLarge, UnsupportedMediaType
from clawgate.ollama.ndjson import MAX_DEPTH
from clawgate.sockets import Clients

log = logging.getLogger(__name__)

Members = dict[str, Raw]
"""An object's members, each as its JSON. A Raw is a view of the body and keeps all of it alive until it is copied."""

JSON = "application/json"
READ_BYTES = 1 << 16
WINDOW_BYTES = 1 << 14
MAX_ELEMENTS = 1 << 16
"""Elements are members, items, and empty objects and lists; each takes some 100 bytes of memory."""
MAX_NAMES = 1 << 10
MAX_NAME_BYTES = 1 << 10

TOO_MANY = f"body: expected at most {MAX_ELEMENTS} members and items, got more"
TOO_DEEP = "body: expected JSON, got one that is nested too deeply"
TWICE = "body: expected each name once in an object, got one twice"
NOT_JSON = "body: expected JSON in UTF-8, got something else"
BROKEN_OFF = "body: expected all of it, got one that breaks off or is not chunked as HTTP wants"

_KINDS = {**dict(zip(b'"{[n', ("str", "object", "array", "null"), strict=True)), **dict.fromkeys(b"tf", "bool")}
_FRACTION = re.compile(rb"-?[0-9]{1,400}[.eE]")
_NO_SIGNS = bytes(set(range(256)) - set(b"{}[]:"))
_COLON = ord(":")
_OPENING = frozenset(b"{[")
_MASK = ((rb"\\", b"\\\0"), (rb"\"", b"\\\1"))
"""These replacements hide escaped quotes from a search for quotes; JSON has no such control characters."""


def read_object(
    request: Request, max_bytes: int, clients: Clients | None = None, route_bytes: int | None = None
) -> Members:
    """Read a request's body as one JSON object; without clients the time that it takes is not bounded.

    Units: max_bytes is the setting, route_bytes the limit of this route where that is less.
    Errors: UnsupportedMediaType, TooLarge, BadRequest; Busy where the body was late and threads were few.
    """
    if request.content_type != JSON and request.mimetype != JSON:
        raise UnsupportedMediaType("Content-Type: expected application/json")
    with clients.reading(request.environ.get("gunicorn.socket")) if clients else nullcontext():
        data = _read_bytes(request, max_bytes, route_bytes)
    return parse_object(data)


def parse_object(data: bytes | bytearray) -> Members:
    """Take JSON apart into the members of its outermost object.

    Errors: BadRequest.
    """
    try:
        if not _is_harmless(data):
            outline = Outline()
            for window in _windows(data):
                outline.take(window)
        return msgspec.json.decode(data, type=Members)
    except msgspec.ValidationError as error:
        raise BadRequest("body: expected a JSON object") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"{NOT_JSON} ({error})") from error


def _is_harmless(data: bytes | bytearray) -> bool:
    """Tell by one look whether a short text is within all limits. Most are, and following one takes longer."""
    if len(data) > min(WINDOW_BYTES, MAX_ELEMENTS) or data.count(b"{") + data.count(b"[") > MAX_DEPTH:
        return False
    try:
        _ONCE.decode(data.decode())
    except (ValueError, RecursionError):
        return False
    return True


def _once(members: list[tuple[str, object]]) -> None:
    names = dict(members)
    if len(names) < len(members) or len("".join(names)) > MAX_NAME_BYTES // len(r"\u0000"):
        raise ValueError


_ONCE = json.JSONDecoder(object_pairs_hook=_once)


def kind_of(value: Raw) -> str:
    """Name the kind of a value, as msgspec does: str, object, array, bool, null, int or float."""
    kind = _KINDS.get(memoryview(value)[0], "int")
    return "float" if kind == "int" and _FRACTION.match(value) else kind


def _read_bytes(request: Request, max_bytes: int, route_bytes: int | None) -> bytearray:
    """Read a body and count it: Flask's own limit cuts a chunked one silently."""
    limit = max_bytes if route_bytes is None else min(max_bytes, route_bytes)
    length = request.content_length
    data = bytearray()
    if length is None or length <= limit:
        wanted = limit + 1 if length is None else length
        while len(data) < wanted and (piece := _read_piece(request, min(wanted - len(data), READ_BYTES))):
            data += piece
    if max(len(data), length or 0) > limit:
        raise TooLarge(f"body: expected at most {limit} bytes" + " (server.max_body_bytes)" * (limit == max_bytes))
    if len(data) < (length or 0):  # gunicorn ends the body silently where the client left
        raise BadRequest(BROKEN_OFF)
    return data


def _read_piece(request: Request, size: int) -> bytes:
    try:
        piece: bytes = request.stream.read(size)
    except HTTPException:
        raise
    except Exception as error:  # noqa: BLE001 - each server has its own; its traceback would quote the body
        log.debug("a request's body could not be read: %s", type(error).__name__)
        raise BadRequest(BROKEN_OFF) from None
    return piece


def _windows(data: bytes | bytearray) -> Iterator[bytes]:
    """Cut a text into windows without cutting a character or an escape.

    Errors: UnicodeDecodeError.
    """
    view = memoryview(data)
    start = 0
    while start < len(view):
        window = bytes(view[start : start + WINDOW_BYTES])
        is_last = start + len(window) == len(view)
        end = codecs.utf_8_decode(window, "strict", is_last)[1]
        if not is_last:
            backslashes = end - len(window[:end].rstrip(b"\\"))
            end -= backslashes % 2
        yield window[:end]
        start += end


class Outline:
    """The outline of a JSON text so far: its elements, its depth, its names.

    A text that is no JSON passes unless it has no outline at all; the decoder refuses it.
    """

    def __init__(self) -> None:
        self._elements = 0
        self._quotes = 0
        self._open: list[set[bytes]] = []  # the names in each object around this place; a list has none
        self._text = b""  # the present or last text: a name where a colon follows
        self._is_in_text = False

    def take(self, window: bytes) -> None:
        """Follow the next piece, whose ends cut no escape.

        Errors: BadRequest, DecodeError.
        """
        for escape, mask in _MASK:
            window = window.replace(escape, mask)
        parts = window.split(b'"')
        self._count(parts)
        if self._is_in_text:
            self._text = self._text[: MAX_NAME_BYTES + 1] + parts.pop(0)
            if not parts:
                return
        self._follow(parts[0])
        for text, outside in zip(parts[1::2], parts[2::2], strict=False):
            self._text = text
            self._follow(outside)
        self._is_in_text = len(parts) % 2 == 0
        if self._is_in_text:
            self._text = parts[-1]

    def _count(self, parts: list[bytes]) -> None:
        outside = b"".join(parts[self._is_in_text :: 2])
        self._elements += outside.count(b",") + outside.count(b"{") + outside.count(b"[")
        self._quotes += len(parts) - 1
        if self._elements > MAX_ELEMENTS:
            raise BadRequest(TOO_MANY)
        if self._quotes > 4 * self._elements + 2:  # more texts than a name and a value for each
            raise BadRequest(NOT_JSON)

    def _follow(self, outside: bytes) -> None:
        """Follow the signs between two texts."""
        for sign in outside.translate(None, _NO_SIGNS):
            if sign in _OPENING:
                self._open.append(set())
                if len(self._open) > MAX_DEPTH:
                    raise BadRequest(TOO_DEEP)
            elif not self._open:
                raise BadRequest(NOT_JSON)
            elif sign == _COLON:
                self._name()
            else:
                self._open.pop()

    def _name(self) -> None:
        names, name = self._open[-1], self._text
        if len(name) > MAX_NAME_BYTES:
            raise BadRequest(f"body: expected names of at most {MAX_NAME_BYTES} bytes, got a longer one")
        if b"\\" in name:
            for escape, mask in reversed(_MASK):
                name = name.replace(mask, escape)
            name = msgspec.json.decode(b'"%b"' % name, type=str).encode()
        if name in names:
            raise BadRequest(TWICE)
        if len(names) >= MAX_NAMES:
            raise BadRequest(f"body: expected at most {MAX_NAMES} names in an object, got more")
        names.add(name)
