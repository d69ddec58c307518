"""The path under which a proxy serves the gateway: every address that leaves has it, one that arrives may have it.

`application` in app.py puts it around the whole. A blueprint has its prefix from the application that registers it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask
from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import RequestRedirect

Environ = dict[str, Any]


class PathPrefix:
    """The WSGI application around the gateway where `server.path_prefix` is set.

    Shape: an address below the prefix stands for the one behind it, if that has a route. Any other is taken as it is:
    the proxy has taken the prefix off, or somebody asks the port itself. So a prefix may even begin an address of our
    own, as /api does.
    """

    def __init__(self, app: Flask, prefix: str) -> None:
        self._wsgi_app: Callable[[Environ, Any], Iterable[bytes]] = app.wsgi_app
        self._routes = app.url_map.bind("")
        self._prefix = prefix

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """Serve a request; the access log shows its address as the gateway knows it, without the prefix."""
        environ["PATH_INFO"] = self._own(environ.get("PATH_INFO", ""))
        environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + self._prefix
        return self._wsgi_app(environ, start_response)

    def _own(self, path: str) -> str:
        """Return the address without the prefix, and without the slashes that a proxy's rewriting leaves in front."""
        path = _with_one_slash(path)
        behind = path.removeprefix(self._prefix)
        if behind == path or behind[:1] not in ("", "/"):
            return path
        if not behind:  # the router redirects "" to the final slash
            return path if self._has_route(path) else behind
        behind = _with_one_slash(behind)
        return behind if self._has_route(behind) else path

    def _has_route(self, path: str) -> bool:
        try:
            self._routes.match(path, method="GET")
        except NotFound:
            return False
        except (MethodNotAllowed, RequestRedirect):
            pass
        return True


def _with_one_slash(path: str) -> str:
    return "/" + path.lstrip("/")
