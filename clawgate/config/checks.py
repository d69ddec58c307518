"""Checks beyond a type and its bounds: each takes a setting's value, and returns it in the form that clawgate uses.

A check carries the text that an error message gives as expected, so that a declaration names the check alone.
"""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
import sys
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from clawgate.addresses import HOST_NAME, socket_path
from clawgate.config.authorities import load_authorities

MAX_SOCKET_PATH_BYTES = 107 if sys.platform == "linux" else 103
"""sun_path without its final zero. Source: man 7 unix."""
_WIDE_COMMA = re.compile("[，、；]")


class WrongPart(ValueError):
    """A part of a setting's value is wrong: its name in there, what was expected of it, and what was found."""

    def __init__(self, name: str, expected: str, found: object) -> None:
        super().__init__(name)
        self.name = name
        self.expected = expected
        self.found = found


class Check(NamedTuple):
    """A function that refuses a value with a ValueError, and the words for the values that it takes."""

    expected: str
    convert: Callable[[Any], Any]


def expects(expected: str) -> Callable[[Callable[[Any], Any]], Check]:
    """Make a Check of the decorated function."""
    return lambda convert: Check(expected, convert)


@expects("an http:// or https:// URL without user, query or fragment")
def base_url(url: str) -> str:
    """Take a URL that paths can be appended to, without its final slashes, and its scheme in lower case."""
    parts = urlsplit(_with_host(url, ("http", "https")))
    if parts.username is not None:
        raise ValueError(url)
    return parts.scheme + url[len(parts.scheme) :].rstrip("/")


def _is_host(name: str) -> bool:
    """Tell whether a name can be connected to: no connection would ever be tried to another one.

    Errors: UnicodeError, a ValueError, for a name with a part that is empty or too long.
    """
    if ":" in name:  # an IPv6 address, which urlsplit has looked at
        return True
    name = name.removesuffix(".").encode("idna").decode()
    return re.fullmatch(HOST_NAME, name) is not None


@expects('origins like "https://chat.example.org", or "*"')
def origins(given: tuple[str, ...]) -> tuple[str, ...]:
    """Take origins as browsers send them, without a final slash; an extension's scheme is one too."""
    if any(origin != "*" and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/\s?#]+/?", origin) for origin in given):
        raise ValueError(given)
    return tuple(origin.rstrip("/") for origin in given)


@expects("a text of at least 8 visible ASCII characters")
def token(given: str) -> str:
    """Take a token that fits into a header; the error does not repeat it."""
    if not re.fullmatch(r"[!-~]{8,}", given):
        raise ValueError
    return given


@expects('a path like "/chat", of letters, digits and -._~, without query')
def path_prefix(path: str) -> str:
    """Take a path as it stands in front of others, without its final slash; the root is no prefix."""
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*/?", path) or {".", ".."} & set(path.split("/")):
        raise ValueError(path)
    return path.rstrip("/")


@expects(
    "an address or a name, without scheme, port or brackets, or unix: and an absolute path of at most "
    f"{MAX_SOCKET_PATH_BYTES} bytes"
)
def bind_address(host: str) -> str:
    """Take an address or a name, and a Unix socket's path if one can be bound.

    A name may be of any alphabet: the resolver has the last word on it.
    """
    path = socket_path(host)
    if path is None and host and not re.search(r"[][/*\s]", host):
        if ":" in host:
            ipaddress.IPv6Address(host)  # raises a ValueError for any other text
        return host
    if not path or not path.startswith("/") or path.endswith("/") or not path.isprintable():
        raise ValueError(host)
    if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
        raise ValueError(host)
    return host


@expects("a list of host names without port")
def hosts(given: tuple[str, ...]) -> tuple[str, ...]:
    """Take names and addresses, in the form that a Host header is compared in."""
    return tuple(map(_host, given))


def _host(host: str) -> str:
    if re.fullmatch(HOST_NAME, host.removesuffix(".")):
        return host.lower().removesuffix(".")
    return str(ipaddress.IPv6Address(host.strip("[]")))  # raises a ValueError for any other text


@expects('addresses or networks like "10.0.0.0/8"')
def networks(given: tuple[str, ...]) -> tuple[str, ...]:
    """Take addresses and networks; a network with host bits set is refused as a slip."""
    for network in given:
        ipaddress.ip_network(network)
    return given


@expects("a file of PEM certificates, or a folder of such files")
def authorities(path: str) -> str:
    """Take a file or folder with at least one certificate, as an absolute path; `~` is the user's folder."""
    absolute = os.path.abspath(os.path.expanduser(path))
    load_authorities(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), absolute)
    return absolute


@expects("a redis://, rediss:// or unix:// URL, like redis://127.0.0.1:6379/0")
def redis_url(url: str) -> str:
    """Take the URL of one Redis; the error does not repeat it, since it may have a password."""
    parts = urlsplit(url)
    is_path = parts.scheme == "unix" and parts.path.startswith("/")
    is_host = parts.scheme in ("redis", "rediss") and _is_host(parts.hostname or "") and parts.port != 0
    if not (is_path or is_host) or not url.isprintable() or re.search(r"[\s#]", url):
        raise ValueError
    if is_host and not re.fullmatch(r"(/[0-9]{0,4})?", parts.path):
        raise ValueError
    return url


@expects("a word of at most 64 letters, digits and ._-")
def redis_prefix(prefix: str) -> str:
    """Take a word that stands before every key."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", prefix):
        raise ValueError(prefix)
    return prefix


@expects("an http:// or https:// URL, like http://127.0.0.1:18789")
def gateway_url(url: str) -> str:
    """Take the URL of a gateway, without its final slashes; it may have the name and password for a proxy in front."""
    return _with_host(url, ("http", "https")).rstrip("/")


@expects("an https:// URL without user, query or fragment; http:// on this machine alone")
def open_api(url: str) -> str:
    """Take the base URL of a messenger's API: what is sent there has a secret in it."""
    return _encrypted(base_url.convert(url), "https")


@expects("a wss:// URL without user; ws:// on this machine alone")
def socket_url(url: str) -> str:
    """Take the URL of a messenger's WebSocket: the first thing that is sent there is a secret."""
    if "@" in url:
        raise ValueError(url)
    return _encrypted(_with_host(url, ("ws", "wss")), "wss")


def _with_host(url: str, schemes: tuple[str, ...]) -> str:
    parts = urlsplit(url)
    is_more = re.search(r"[?#\s]", url) is not None or not url.isprintable()
    if parts.scheme not in schemes or parts.port == 0 or is_more or not _is_host(parts.hostname or ""):
        raise ValueError(url)
    return url


def _encrypted(url: str, scheme: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != scheme and (parts.hostname or "") not in ("localhost", "127.0.0.1", "::1"):
        raise ValueError(url)
    return url


@expects("visible ASCII characters without blanks; digits alone want quotes in the file")
def credential(given: str) -> str:
    """Take an id or a secret of a messenger as it stands in its console; the error does not repeat it."""
    if not re.fullmatch(r"[!-~]+", given):
        raise ValueError
    return given


@expects("the ID of a card's template, like 0a1b2c3d-….schema")
def template_id(given: str) -> str:
    """Take the id of a template as the card platform shows it."""
    if not re.fullmatch(r"[\w.-]+", given, re.ASCII):
        raise ValueError(given)
    return given


@expects("a list of at least one word, each with a letter or a digit in it, divided by ASCII commas")
def words(given: tuple[str, ...]) -> tuple[str, ...]:
    """Take messages that are commands: one of punctuation alone would never be met. The first one is told to people.

    A full-width comma divides no list in YAML: `[停止，停]` is one word, which nobody writes.
    """
    if not given or not all(any(map(str.isalnum, word)) and not _WIDE_COMMA.search(word) for word in given):
        raise ValueError(given)
    return given


@expects("a list of IDs without blanks, divided by ASCII commas; one of digits alone wants quotes in the file")
def ids(given: tuple[str, ...]) -> tuple[str, ...]:
    """Take a messenger's ids of people or chats. YAML makes a number of unquoted digits, and loses leading zeros."""
    if not all(re.fullmatch(r"\S+", each) and each.isprintable() and not _WIDE_COMMA.search(each) for each in given):
        raise ValueError(given)
    return given
