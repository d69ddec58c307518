"""Our own faults are answered as `internal` and logged with their traceback, which does not leave the process.

These tests run the application in this process, because they put the fault into it.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from clawgate import create_app
from clawgate.config import Config, ModelConfig
from clawgate.relay.desk import Desk
from clawgate.relay.intake import Intake
from clawgate.relay.pump import Pump
from tests.support import sse
from tests.support.ollama import ScriptedOllama, done, text

SECRET = "a-word-of-the-traceback"


class FaultError(Exception):
    """An unforeseen error."""


def fail(*_: Any, **__: Any) -> Any:
    raise FaultError(SECRET)


@pytest.fixture
def app(ollama: ScriptedOllama) -> Flask:
    return create_app(Config(model=ModelConfig(endpoint=ollama.base_url)))


@pytest.fixture
def client(app: Flask) -> Iterator[FlaskClient]:
    with app.test_client() as client:
        yield client


@pytest.mark.parametrize("path", ["/", "/setup", "/static/page/chat.js"])
def test_a_want_of_file_descriptors_is_no_fault_of_ours(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    def fail_to_open(*_: Any, **__: Any) -> Any:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("clawgate.web.pages.appearance.render_template", fail_to_open)
    monkeypatch.setattr("flask.helpers.send_from_directory", fail_to_open)
    monkeypatch.setattr("werkzeug.utils.send_file", fail_to_open)
    reply = client.get(path)
    assert (reply.status_code, (reply.json or {})["error"]["code"], reply.headers["Retry-After"]) == (503, "busy", "1")
    assert "ulimit -n" in reply.text
    assert "Traceback" not in caplog.text


def streams(app: Flask) -> int:
    desk: Desk = app.extensions["clawgate"].desk
    return desk.streams


@pytest.mark.parametrize("body", [{"message": "hi"}, {"message": "hi", "stream": False}], ids=["stream", "whole"])
def test_a_fault_before_the_stream_is_500(
    client: FlaskClient, app: Flask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, body: Any
) -> None:
    monkeypatch.setattr(Desk, "admit", fail)
    reply = client.post("/api/chat", json=body)
    assert reply.status_code == 500
    assert reply.json is not None
    assert reply.json["error"]["code"] == "internal"
    assert reply.headers["x-should-retry"] == "false"
    assert SECRET not in reply.text
    assert SECRET in caplog.text, "the log has it"
    assert streams(app) == 0


@pytest.mark.parametrize(
    ("part", "method"), [(Pump, "_begin"), (Pump, "_opening"), (Pump, "_reading"), (Intake, "take")]
)
@pytest.mark.parametrize("is_streamed", [True, False], ids=["stream", "whole"])
def test_a_fault_in_the_pump_is_the_one_end(
    client: FlaskClient,
    app: Flask,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    part: type,
    method: str,
    is_streamed: bool,
) -> None:
    monkeypatch.setattr(part, method, fail)
    reply = client.post("/api/chat", json={"message": "hi", "stream": is_streamed}, buffered=True)
    if is_streamed:
        end = sse.end_of(sse.parse(reply.data))
        assert reply.status_code == 200
    else:
        assert reply.json is not None
        end = reply.json
        assert (reply.status_code, reply.headers["x-should-retry"]) == (500, "false")
    assert end["error"]["code"] == "internal"
    assert SECRET not in reply.text
    assert "Traceback" not in reply.text
    assert len([record for record in caplog.records if record.exc_info]) == 1, "logged once"
    assert streams(app) == 0


def test_a_fault_in_a_view_is_500(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Desk, "session", fail)
    reply = client.get("/api/sessions/s")
    assert (reply.status_code, reply.headers["X-Session-Id"]) == (500, "s")
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert SECRET not in reply.text
    assert SECRET in caplog.text


def test_a_stream_that_nobody_reads_gives_everything_back(client: FlaskClient, app: Flask) -> None:
    """The generator is never started, as for a client that left before the first byte."""
    reply = client.post("/api/chat", json={"message": "hi"})
    assert streams(app) == 1
    reply.close()
    assert streams(app) == 0


def test_the_slot_is_free_when_the_end_is_read(client: FlaskClient, app: Flask) -> None:
    """A client that has read the end may ask again at once, even where there is one slot."""
    reply = client.post("/api/chat", json={"message": "hi"})
    for chunk in reply.iter_encoded():
        assert streams(app) == (0 if b'"done":true' in chunk else 1), chunk
    reply.close()
    assert streams(app) == 0


def test_a_server_without_threads_is_warned_of(
    client: FlaskClient, ollama: ScriptedOllama, caplog: pytest.LogCaptureFixture
) -> None:
    ollama.default(text("a"), done())
    for _ in range(2):
        without = {"wsgi.multithread": False}
        reply = client.post("/api/chat", json={"message": "hi"}, environ_overrides=without, buffered=True)
        assert sse.text_of(sse.parse(reply.data)) == "a"
    warnings = [
        record for record in caplog.records if record.levelno == logging.WARNING and "threads" in record.message
    ]
    assert len(warnings) == 1
