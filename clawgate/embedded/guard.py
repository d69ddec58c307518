"""Ollama's own rules for Host and Origin, so that a gateway that breaks them notices here.

Pure; server.py applies them before it looks at a path.
Source: Ollama server/routes.go, allowedHostsMiddleware; envconfig/config.go, AllowedOrigins; gin-contrib/cors.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

_LOCAL_DOMAINS = (".localhost", ".local", ".internal")
_LOCAL_ORIGINS = ("localhost", "127.0.0.1", "0.0.0.0")
_APP_SCHEMES = ("app", "file", "tauri", "vscode-webview", "vscode-file")
_EXTENSION_SCHEMES = ("chrome-extension", "safari-extension", "moz-extension", "ms-browser-extension")


def is_loopback(address: str) -> bool:
    """Say whether an address that a server is bound to is a loopback one."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def is_host_allowed(host_header: str) -> bool:
    """Say whether a server on loopback answers this Host: a local name, or an address of a private network."""
    host = _without_port(host_header).lower()
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return host in ("", "localhost", socket.gethostname().lower()) or host.endswith(_LOCAL_DOMAINS)
    return address.is_loopback or address.is_private or address.is_unspecified


def is_origin_allowed(origin: str, host_header: str) -> bool:
    """Say whether a page of this origin may ask; CORS does not concern a page of the server's own address."""
    if origin in (f"http://{host_header}", f"https://{host_header}"):
        return True
    try:
        parts = urlsplit(origin)
        name = parts.hostname
    except ValueError:
        return False
    if parts.scheme in _APP_SCHEMES + _EXTENSION_SCHEMES:
        return True
    return parts.scheme in ("http", "https") and name in _LOCAL_ORIGINS


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0] if host.count(":") == 1 else host
