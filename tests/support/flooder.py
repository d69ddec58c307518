"""Many chats at once from a process of its own, so that the load does not share a process with the measurement.

    python -m tests.support.flooder http://127.0.0.1:8080 5000

Opens that many connections as fast as it can, asks for a chat on each, holds those that stream, and prints the
number of answers by their status as JSON once each has one; "cut" are connections that ended without. It then keeps
the streams until its standard input is closed.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from collections import Counter
from urllib.parse import urlsplit

BODY = b'{"message":"hi"}'
AT_ONCE = 64
"""Connections that are opened before answers are looked at."""
ALL_S = 50.0


def main(base_url: str, count: int) -> None:
    """Flood, report, and hold what streams."""
    url = urlsplit(base_url)
    address = (url.hostname or "", url.port or 80)
    head = f"POST /api/chat HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY
    seen: Counter[str] = Counter()
    streams: list[socket.socket] = []
    ends_at = time.monotonic() + ALL_S
    opened = 0
    with selectors.DefaultSelector() as selector:
        while (opened < count or selector.get_map()) and time.monotonic() < ends_at:
            for _ in range(min(AT_ONCE, count - opened)):
                opened += 1
                client = socket.create_connection(address, 5)
                client.sendall(request)
                selector.register(client, selectors.EVENT_READ)
            for key, _ in selector.select(0 if opened < count else 0.1):
                answered = key.fileobj
                assert isinstance(answered, socket.socket)
                selector.unregister(answered)
                status = _status(answered)
                seen[status] += 1
                if status == "200":
                    streams.append(answered)
                else:
                    answered.close()
        seen["none"] = len(selector.get_map())
        print(json.dumps({status: number for status, number in seen.items() if number}), flush=True)
        sys.stdin.read()


def _status(client: socket.socket) -> str:
    try:
        head = client.recv(4096)
    except OSError:
        head = b""
    return head[9:12].decode("latin-1") if head.startswith(b"HTTP/1.1 ") else "cut"


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
