"""A scripted Ollama: `python -m bench.upstream --port 0` prints `Server started on :PORT` and answers until ended.

One process, one epoll loop, raw sockets, so that it costs a few microseconds a frame and is never what limits a
comparison. Every frame is its own send() and its own HTTP chunk, as Ollama's are. It sends no header before the first
frame, spreads the answers' phases evenly, and waits for a client that reads slowly as Ollama does (the answer's next
frames come late, none is lost). The request says what its answer looks like (script.py), or the command line.

Beside Ollama's `/api/chat`, `/api/version`, `/api/tags`, `/api/ps`, `/api/show` and `HEAD /` it has three paths of its
own: `/bench/stats` (its CPU, frames sent, answers in flight), `/bench/closed` (when each tagged answer's request came
in and when its client's connection was closed), `/bench/reset` (forget those).
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import select
import socket
import time
from collections import defaultdict

from bench.script import MODEL, Script, first_chunk, last_chunks, now_us, text_chunk, thinking_chunk

_READ = select.EPOLLIN | select.EPOLLRDHUP
_GONE = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_GOLDEN = 0.6180339887498949  # multiples of it, modulo 1, are spread evenly however many there are
_TEXT, _THINKING = text_chunk(), thinking_chunk()

_ANSWERS = {
    "/": "Ollama is running",
    "/api/version": {"version": "0.24.0"},
    "/api/tags": {"models": [{"name": MODEL, "model": MODEL, "size": 1, "details": {"family": "bench"}}]},
    "/api/ps": {"models": []},
    "/api/show": {"details": {"family": "bench"}, "capabilities": ["completion", "thinking"], "model_info": {}},
}


class Client:
    """One connection and the answer that is being sent on it, if any."""

    __slots__ = (
        "answering", "backlog", "due_us", "fd", "gone", "inbox", "limit", "period_us",
        "received_us", "script", "send", "seq", "sock", "template", "waiting",
    )  # fmt: skip

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.send = sock.send
        self.inbox = b""
        self.backlog = b""
        self.gone = self.answering = self.waiting = False
        self.script = Script()
        self.template = b""
        self.seq = self.limit = self.received_us = 0
        self.due_us = self.period_us = 0.0


class Upstream:
    """The loop: accepts, reads requests, and sends every answer's frames when they are due.

    The `wheel` keeps by the millisecond what is due (a heap costs more than the send it schedules).
    """

    def __init__(self, host: str, port: int, script: Script) -> None:
        self.script = script
        self.listener = socket.create_server((host, port), backlog=4096)
        self.listener.setblocking(False)
        self.port: int = self.listener.getsockname()[1]
        self.epoll = select.epoll()
        self.epoll.register(self.listener, select.EPOLLIN)
        self.clients: dict[int, Client] = {}
        self.wheel: defaultdict[int, list[Client]] = defaultdict(list)
        self.tick = now_us() // 1000
        self.requests = self.frames = self.held_back = self.late_max_us = 0
        self.tagged: dict[str, dict[str, int]] = {}

    def serve(self) -> None:
        """Run until a signal ends the process."""
        while True:
            for fd, event in self.epoll.poll(0.001 if self.wheel else 0.5):
                if fd == self.listener.fileno():
                    self._accept()
                elif event & _GONE:
                    self._leave(self.clients[fd])
                elif event & select.EPOLLOUT:
                    self._resume(self.clients[fd])
                else:
                    self._read(self.clients[fd])
            self._send_due()

    def _send_due(self) -> None:
        wheel, clock, sent = self.wheel, time.monotonic_ns, 0
        last = clock() // 1_000_000
        for tick in range(self.tick, last + 1):
            if tick not in wheel:
                continue
            for client in wheel.pop(tick):
                if client.gone or (client.seq == client.limit and not self._turn(client)):
                    continue
                now = clock() // 1000
                if now - client.due_us > self.late_max_us:
                    self.late_max_us = int(now - client.due_us)
                frame = client.template % (client.seq, now)
                try:
                    size = client.send(frame)
                except BlockingIOError:
                    size = 0
                except OSError:
                    self._leave(client)
                    continue
                client.seq += 1
                sent += 1
                if size < len(frame):
                    self._hold(client, frame[size:])
                    continue
                client.due_us += client.period_us
                wheel[max(int(client.due_us / 1000), last + 1)].append(client)
        self.tick = last + 1
        self.frames += sent

    def _turn(self, client: Client) -> bool:
        """Choose the template of the next frames, or end the answer: false."""
        script, seq = client.script, client.seq
        if script.stall_after and seq >= script.stall_after:
            return False
        if seq >= script.total:
            self._finish(client)
            return False
        if seq == 0:
            client.template, limit = first_chunk(script, client.received_us), 1
        elif seq < script.thinking:
            client.template, limit = _THINKING, script.thinking
        else:
            client.template, limit = _TEXT, script.total
        client.limit = min(limit, script.stall_after) if script.stall_after > seq else limit
        return True

    def _finish(self, client: Client) -> None:
        client.answering = False
        self._write(client, last_chunks(client.script, client.received_us))
        self._note(client, "finished_us")

    def _write(self, client: Client, data: bytes) -> None:
        try:
            size = client.send(data)
        except BlockingIOError:
            size = 0
        except OSError:
            self._leave(client)
            return
        if size < len(data):
            self._hold(client, data[size:])

    def _hold(self, client: Client, rest: bytes) -> None:
        """Keep what the client's full socket did not take; the answer pauses until it does."""
        client.backlog += rest
        client.waiting = True
        self.held_back += 1
        self.epoll.modify(client.fd, _READ | select.EPOLLOUT)

    def _resume(self, client: Client) -> None:
        try:
            client.backlog = client.backlog[client.send(client.backlog) :]
        except BlockingIOError:
            return
        except OSError:
            self._leave(client)
            return
        if client.backlog:
            return
        client.waiting = False
        self.epoll.modify(client.fd, _READ)
        if client.answering:
            client.due_us = float(now_us())
            self.wheel[self.tick].append(client)

    def _accept(self) -> None:
        for _ in range(64):
            try:
                sock, _address = self.listener.accept()
            except BlockingIOError:
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.clients[sock.fileno()] = Client(sock)
            self.epoll.register(sock, _READ)

    def _leave(self, client: Client) -> None:
        if client.gone:
            return
        client.gone = True
        if client.answering:
            self._note(client, "closed_us")
        del self.clients[client.fd]
        client.sock.close()

    def _note(self, client: Client, what: str) -> None:
        if client.script.tag:
            self.tagged.setdefault(client.script.tag, {})[what] = now_us()

    def _read(self, client: Client) -> None:
        try:
            data = client.sock.recv(262144)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._leave(client)
            return
        client.inbox += data
        head, found, body = client.inbox.partition(b"\r\n\r\n")
        if not found:
            return
        length = _content_length(head)
        if len(body) < length:
            return
        client.inbox = body[length:]
        method, path, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        if path == "/api/chat" and method == "POST":
            self._start(client, body[:length])
        else:
            self._reply(client, method, path)

    def _start(self, client: Client, body: bytes) -> None:
        client.script = script = self.script.find(body)
        client.received_us = now_us()
        client.answering = True
        client.seq = client.limit = 0
        client.period_us = 1e6 / script.rate
        self.requests += 1
        phase = (self.requests * _GOLDEN) % 1.0
        client.due_us = client.received_us + script.first_ms * 1000 + phase * client.period_us
        self.wheel[max(int(client.due_us / 1000), self.tick)].append(client)
        self._note(client, "received_us")

    def _reply(self, client: Client, method: str, path: str) -> None:
        answer = _ANSWERS.get(path, self._own_answer(path))
        status = "404 Not Found" if answer is None else "200 OK"
        body = (answer if isinstance(answer, str) else json.dumps(answer or {"error": "not found"})).encode()
        kind = "text/plain" if isinstance(answer, str) else "application/json"
        head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        self._write(client, head if method == "HEAD" else head + body)

    def _own_answer(self, path: str) -> object:
        if path == "/bench/stats":
            return self._stats()
        if path == "/bench/closed":
            return self.tagged
        if path == "/bench/reset":
            self.tagged = {}
            self.late_max_us = 0
            return {"reset": True}
        return None

    def _stats(self) -> dict[str, float]:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "cpu_s": usage.ru_utime + usage.ru_stime,
            "frames": self.frames,
            "requests": self.requests,
            "answering": sum(client.answering for client in self.clients.values()),
            "held_back": self.held_back,
            "late_max_ms": self.late_max_us / 1000,
        }


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def main() -> None:
    """Serve what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m bench.upstream", description="a scripted Ollama")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=11434, help="0 takes a free one")
    parser.add_argument("--script", default="", help='for requests without one, e.g. "rate=50 tokens=500"')
    arguments = parser.parse_args()
    try:
        script = Script().with_words(arguments.script)
    except ValueError as error:
        parser.error(f"--script: {error}")
    upstream = Upstream(arguments.host, arguments.port, script)
    print(f"Server started on :{upstream.port}", flush=True)
    gc.disable()  # no cycles are made here, and a collection would show as lag
    upstream.serve()


if __name__ == "__main__":
    main()
