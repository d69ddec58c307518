"""The HTTP side of the scripted DingTalk: each call is handed to one function, which says the answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests.support.tools import DEADLINE_S


class Call(NamedTuple):
    """One call: its body as an object and as text, its size in bytes."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: dict[str, Any]
    raw: str
    size: int


class Answer(NamedTuple):
    """What a call gets; status: 0 for a response that is lost; body: an object, or a text that is no JSON."""

    status: int
    body: object


class HttpServer:
    """Serves calls on a thread each, until it is closed."""

    def __init__(self, answer: Callable[[Call], Answer]) -> None:
        class Handler(BaseHTTPRequestHandler):
            """Reads a call whole, and writes its answer."""

            def do_POST(self) -> None:
                self._take()

            def do_PUT(self) -> None:
                self._take()

            def _take(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                parts = urlsplit(self.path)
                headers = {name.lower(): value for name, value in self.headers.items()}
                text = raw.decode()
                made = answer(Call(self.command, parts.path, parts.query, headers, json.loads(text), text, len(raw)))
                if not made.status:
                    self.close_connection = True
                    return
                data = made.body if isinstance(made.body, str) else json.dumps(made.body, ensure_ascii=False)
                self.send_response(made.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data.encode())))
                self.end_headers()
                self.wfile.write(data.encode())

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="dingtalk", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(DEADLINE_S)
