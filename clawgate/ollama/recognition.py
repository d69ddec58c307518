"""The recognition of what answers at the endpoint, by a response of it that is not Ollama's: pure.

People write an endpoint as another program wants it (`…/v1`), or name a port that something else holds: nginx's default
page, a single sign-on, an OpenAI-compatible server, this gateway itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urljoin, urlsplit

import msgspec

from clawgate.ollama.finding import Finding
from clawgate.ollama.ndjson import UNREADABLE
from clawgate.ollama.words import on_one_line, title_of

MAX_DETAIL = 100
MAX_LOCATION = 2000
OF_THE_ADDRESS = (403, 404, 405, 410)
"""The errors that are the address's: another is the request's or the moment's, also a proxy's (413, 429, 500)."""
_SUFFIX = re.compile(r"(/v1(/.*)?|/api(/(chat|generate|tags|version|ps|show|embed|embeddings))?)$")
_OWN_PATH = re.compile(r"/api/\w+/?$")
_WANTS_HTTPS = re.compile(rb"HTTP request to an HTTPS|plain HTTP request was sent to HTTPS|plain HTTP to an SSL", re.I)
"""Source: Go net/http, nginx and Apache, each with status 400."""
_WANTS_CERTIFICATE = b"No required SSL certificate was sent"
"""Source: nginx, ssl_verify_client, with status 400."""
_CHALLENGE = 'realm="clawgate"'
"""A clawgate that wants its token says so on each of its APIs, whatever the form of its errors there."""
_SIGN_IN = re.compile(r"log-?in|sign-?in|oauth|/auth|sso|saml|openid", re.IGNORECASE)
_OPENAI_SERVERS = re.compile(r"llama\.cpp|uvicorn|lm.?studio|vllm|localai|tabby", re.IGNORECASE)
_UNKNOWN_ROUTE = "Unexpected endpoint or method"
"""LM Studio's words, in the form of Ollama's errors and with status 200."""


def recognise(endpoint: str, status: int, fields: Mapping[str, str], body: bytes) -> Finding | None:
    """Tell by a response, or by the beginning of its body, what answers; None where it may be Ollama with an error.

    fields: the header's, by their names in lower case.
    """
    if status in (401, 407) or (300 <= status < 400 and "location" in fields):
        return _turned_away(endpoint, status, fields, body)
    if status == 400 and _WANTS_HTTPS.search(body):
        return Finding("wants_https")
    if status == 400 and _WANTS_CERTIFICATE in body:
        return Finding("tls", "it wants a certificate of its clients")
    error = _error_of(body)
    if _is_clawgate(error) or {"x-run-id", "x-session-id"} <= fields.keys():
        return Finding("clawgate")
    if status != 200 and _is_ollamas(error):
        return None
    if status in (502, 503, 504):
        return Finding("proxy", _shown(status, fields))
    if status >= 400 and status not in OF_THE_ADDRESS:
        return None
    if status == 403 and not body.strip():  # so Ollama refuses one
        return Finding("foreign_host")
    suffix = _SUFFIX.search(urlsplit(endpoint).path)
    if suffix is not None:
        return Finding("path", suffix[0])
    if _is_openai(fields, body, error):
        return Finding("openai")
    if is_page(fields) or body.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")):
        return Finding("page", _clean(title_of(body)) or _shown(status, fields))
    return Finding("other", _shown(status, fields, body))


def is_page(fields: Mapping[str, str]) -> bool:
    """Tell whether a response is something for browsers, whatever its status: no API answers so."""
    return fields.get("content-type", "").partition(";")[0].strip().lower() in ("text/html", "text/event-stream")


def _turned_away(endpoint: str, status: int, fields: Mapping[str, str], body: bytes) -> Finding:
    if _is_clawgate(_error_of(body)) or _CHALLENGE in fields.get("www-authenticate", ""):
        return Finding("clawgate")
    target = _target_of(endpoint, fields.get("location", ""))
    if not 300 <= status < 400 or _SIGN_IN.search(target):
        return Finding("sign_in")
    return Finding("moved", _clean(_OWN_PATH.sub("", target)) or "no address")


def _target_of(endpoint: str, location: str) -> str:
    """Return where a redirect leads, without user, password and query; the words themselves where they are no URL."""
    location = location[:MAX_LOCATION]
    try:
        parts = urlsplit(urljoin(f"{endpoint}/", location))
        return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
    except ValueError:
        return location.partition("?")[0]


def _error_of(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)["error"]
    except (*UNREADABLE, KeyError, TypeError):
        return None


def _is_clawgate(error: object) -> bool:
    return isinstance(error, dict) and set(error) - {"words"} == {"code", "message"} and isinstance(error["code"], str)


def _is_ollamas(error: object) -> bool:
    """Tell whether this is Ollama's form of an error: a text, or an object with a message."""
    if isinstance(error, dict):
        return "message" in error and "type" not in error
    return isinstance(error, str) and not error.startswith(_UNKNOWN_ROUTE)


def _is_openai(fields: Mapping[str, str], body: bytes, error: object) -> bool:
    is_shaped = isinstance(error, dict) and "message" in error and "type" in error
    is_fastapi = body.strip().replace(b" ", b"") in (b'{"detail":"NotFound"}', b'{"detail":"MethodNotAllowed"}')
    is_studio = isinstance(error, str) and error.startswith(_UNKNOWN_ROUTE)
    return is_shaped or is_fastapi or is_studio or _OPENAI_SERVERS.search(fields.get("server", "")) is not None


def _shown(status: int, fields: Mapping[str, str], body: bytes = b"") -> str:
    server = f", {fields['server']}" if fields.get("server") else ""
    words = f": {body[:MAX_DETAIL].decode('utf-8', 'replace')}" if body.strip() else ""
    return _clean(f"status {status}{server}{words}")


def _clean(text: str) -> str:
    return on_one_line(text)[:MAX_DETAIL]
