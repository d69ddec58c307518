"""gunicorn's inside where ours is built on it: a changed source fails here and names what to read again."""

from __future__ import annotations

import hashlib
import inspect
import pydoc

import pytest

LEANED_ON = {
    "gunicorn.workers.base.Worker": (
        "41bcd41fbc752179",
        "server/signals.py: its handlers of signals run after ours; gunicorn_conf.post_worker_init comes before run()",
    ),
    "gunicorn.workers.gthread.ThreadWorker.__init__": (
        "5681b8b542ea91bf",
        "Worker: nr_conns, worker_connections, pending_conns and keepalived_conns",
    ),
    "gunicorn.workers.gthread.ThreadWorker.run": (
        "f92c7394d85715a4",
        "Worker: the order of accepting, waiting and closing; what ends the loop",
    ),
    "gunicorn.workers.gthread.ThreadWorker.get_thread_pool": ("003f3549a71b6d34", "Worker.get_thread_pool"),
    "gunicorn.workers.gthread.ThreadWorker.wait_for_and_dispatch_events": (
        "ea969b352482bd5c",
        "Worker.wait_for_and_dispatch_events",
    ),
    "gunicorn.workers.gthread.ThreadWorker.accept": (
        "f8dcead3dce5c851",
        "Worker.accept: what it lets through of an OSError",
    ),
    "gunicorn.workers.gthread.ThreadWorker.enqueue_req": ("c9f428953d24acef", "Worker.enqueue_req"),
    "gunicorn.workers.gthread.ThreadWorker.on_client_socket_readable": (
        "aead1a3ea7b7daff",
        "Worker._take_out: the connection is in keepalived_conns and in the poll, or in neither",
    ),
    "gunicorn.workers.gthread.ThreadWorker.on_pending_socket_readable": (
        "2475f7087832c086",
        "Worker.enqueue_req registers it; Worker._take_out undoes that",
    ),
    "gunicorn.workers.gthread.ThreadWorker.murder_keepalived": (
        "4459960c4ccc36d4",
        "Worker._take_out: the order of keepalived_conns",
    ),
    "gunicorn.workers.gthread.ThreadWorker.murder_pending": (
        "7bf11f46454296e1",
        "Worker.murder_pending takes its place",
    ),
    "gunicorn.workers.gthread.ThreadWorker.finish_request": (
        "616e7bb15a009ff7",
        "Worker.finish_request: a connection that its thread has closed never gets here",
    ),
    "gunicorn.workers.gthread.ThreadWorker.handle": (
        "ca85c9be3df75da4",
        "Worker.handle: data_ready skips its wait; what it makes of a BrokenPipeError",
    ),
    "gunicorn.workers.gthread.ThreadWorker.handle_request": (
        "6d0de5b919102efc",
        "Worker.handle_request: should_close is asked when the head of the answer is written",
    ),
    "gunicorn.workers.gthread.ThreadWorker._keepalive_after": (
        "4ebdbbc8bf5aafa5",
        "SKIPPED_BYTES, and Clients.linger before it",
    ),
    "gunicorn.workers.gthread.TConn": ("e3a2878ba952710a", "Worker: sock, parser, initialized, timeout, data_ready"),
    "gunicorn.util.close_graceful": (
        "0e5925bfc017bc4e",
        "Worker._linger: it takes max_drain, and closes whatever happens",
    ),
    "gunicorn.http.parser.Parser.finish_body": ("54c5d0d28c2626ea", "SKIPPED_BYTES is its bound"),
    "gunicorn.http.unreader.Unreader": ("84aaa8f91fcdbbae", "Worker._is_there: buf has what was read ahead"),
    "gunicorn.http.body.LengthReader": ("3b01bc7c21a27066", "is_left: `length` is what is left"),
    "gunicorn.http.body.ChunkedReader": (
        "c1aa79e0ae048701",
        "is_left: `parser` is None once the last chunk is read; it has no `length`",
    ),
    "gunicorn.http.body.Body.__init__": ("db5ff256b7b94ba1", "is_left: `reader`"),
    "gunicorn.http.wsgi.default_environ": (
        "b7e18b84d829cb5a",
        'web: environ["gunicorn.socket"] is the client\'s socket',
    ),
    "gunicorn.http.wsgi.Response.should_close": (
        "3888d47a96e289b3",
        "Worker.handle_request: it asks the request's should_close",
    ),
    "gunicorn.systemd.sd_notify": ("54152f6aea7b24bd", "gunicorn_conf._announce"),
    "gunicorn.arbiter.Arbiter.handle_hup": (
        "50de80005cd672c7",
        "gunicorn_conf.when_ready puts _reload_master in its place",
    ),
    "gunicorn.arbiter.Arbiter.kill_workers": ("00a2eb10d3493fd0", "gunicorn_conf._reload_master"),
}
"""What is overridden or used without being documented → the hash of its source, and what of ours rests on it."""


def hash_of(name: str) -> str:
    """The hash of a class's or function's source."""
    return hashlib.sha256(inspect.getsource(pydoc.locate(name)).encode()).hexdigest()[:16]  # type: ignore[arg-type]


@pytest.mark.parametrize("name", LEANED_ON)
def test_what_we_lean_on_in_gunicorn_is_as_it_was_read(name: str) -> None:
    known, ours = LEANED_ON[name]
    assert hash_of(name) == known, f"gunicorn has changed {name}; read again what rests on it: {ours}"
