"""gunicorn's inside where ours is built on it: a changed source fails here and names what to read again."""

from __future__ import annotations

import hashlib
import inspect
import pydoc

import pytest

LEANED_ON = {
    "gunicorn.workers.base.Worker": (
        "41bcd41fbc752179",
        "server/worker.py: PIPE, alive, ppid, notify; signals.py: its handlers run after ours, installed before run",
    ),
    "gunicorn.http.parser.Parser": (
        "3a9c06e348c7e3b5",
        "server/serving.py: next, finish_body, and that it skips no more than SKIPPED_BYTES",
    ),
    "gunicorn.http.unreader.Unreader": ("84aaa8f91fcdbbae", "server/connection.py: buf has what was read ahead"),
    "gunicorn.http.unreader.SocketUnreader": (
        "786a257be09ea8dd",
        "server/connection.py: it reads from the socket alone",
    ),
    "gunicorn.http.body.Body.__init__": ("db5ff256b7b94ba1", "server/serving.py: is_left reads reader"),
    "gunicorn.http.body.LengthReader": ("3b01bc7c21a27066", "server/serving.py: is_left reads length, what is left"),
    "gunicorn.http.body.ChunkedReader": (
        "c1aa79e0ae048701",
        "server/serving.py: is_left reads parser, None once the last chunk is read; it has no length",
    ),
    "gunicorn.http.wsgi.create": ("2c35d4a2dc629ede", "server/serving.py: response_class; it sends `100 Continue`"),
    "gunicorn.http.wsgi.default_environ": (
        "b7e18b84d829cb5a",
        'web: environ["gunicorn.socket"] is the client\'s socket',
    ),
    "gunicorn.http.wsgi.Response.default_headers": (
        "cb490cea5d6f5408",
        "server/serving.py: it is called once, and asks should_close",
    ),
    "gunicorn.http.wsgi.Response.send_headers": ("7aff3b7d004fc17b", "server/serving.py: headers_sent"),
    "gunicorn.http.wsgi.Response.should_close": ("3888d47a96e289b3", "server/serving.py: force_close settles it"),
    "gunicorn.sock.ssl_wrap_socket": ("f240092e58c65afe", "server/connection.py: it shakes hands later"),
    "gunicorn.util.close_graceful": (
        "0e5925bfc017bc4e",
        "server/serving.py: it takes max_drain, and closes whatever happens",
    ),
    "gunicorn.systemd.sd_notify": ("54152f6aea7b24bd", "gunicorn_conf._announce"),
    "gunicorn.arbiter.Arbiter.handle_hup": (
        "50de80005cd672c7",
        "gunicorn_conf.when_ready puts _reload_master in its place",
    ),
    "gunicorn.arbiter.Arbiter.kill_workers": ("00a2eb10d3493fd0", "gunicorn_conf._reload_master"),
    "gunicorn.arbiter.Arbiter.spawn_worker": (
        "6abc0d90b0b9f80b",
        "gunicorn_conf: pre_fork gives a place, post_fork takes it in the worker",
    ),
    "gunicorn.arbiter.Arbiter.reap_workers": (
        "ebcf4187e9ebf378",
        "gunicorn_conf.child_exit clears the place of a worker that has been waited for",
    ),
    "gunicorn.arbiter.Arbiter.handle_ttin": (
        "3454a4a5071d4a52",
        "gunicorn_conf.when_ready puts _add_worker before it",
    ),
}
"""Each undocumented piece of gunicorn that we use: the hash of its source, and what of ours rests on it."""


def hash_of(name: str) -> str:
    """The hash of a class's or function's source."""
    return hashlib.sha256(inspect.getsource(pydoc.locate(name)).encode()).hexdigest()[:16]  # type: ignore[arg-type]


@pytest.mark.parametrize("name", LEANED_ON)
def test_what_we_lean_on_in_gunicorn_is_as_it_was_read(name: str) -> None:
    known, ours = LEANED_ON[name]
    assert hash_of(name) == known, f"gunicorn has changed {name}; read again what rests on it: {ours}"
