"""One bot of an id on a machine, whatever other users of it do."""

from __future__ import annotations

import hmac
import json
import socket
import subprocess
import sys
from uuid import uuid4

import pytest

from clawgate.bots import lock as module
from clawgate.bots.lock import Lock, Running

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the lock is Linux's alone")
SECRET = uuid4().hex
HOLD = """
import sys
from clawgate.bots.lock import Lock
with Lock("wecom", "bot", sys.argv[1]):
    print(1, flush=True)
    input()
"""


def test_a_second_bot_of_an_id_does_not_start() -> None:
    with Lock("wecom", "bot", SECRET):
        with pytest.raises(Running), Lock("wecom", "bot", SECRET):
            pass
        with Lock("wecom", "other", SECRET), Lock("dingtalk", "bot", SECRET):
            pass
    with Lock("wecom", "bot", SECRET):
        pass


def test_a_bot_of_another_process_is_one() -> None:
    holding = subprocess.Popen(
        [sys.executable, "-c", HOLD, SECRET], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holding:
        assert holding.stdout is not None
        assert holding.stdout.readline() == "1\n"
        with pytest.raises(Running), Lock("wecom", "bot", SECRET):
            pass
        holding.communicate("\n")
    with Lock("wecom", "bot", SECRET):
        pass


@pytest.mark.parametrize("is_listening", [True, False])
def test_another_user_who_has_seen_the_name_keeps_no_bot_from_running(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, is_listening: bool
) -> None:
    monkeypatch.setattr(module, "TRY_PAUSE_S", 0.0)
    monkeypatch.setattr(module, "ASKING_S", 0.02)
    lock = Lock("wecom", "bot", SECRET)
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(lock._address)
        if is_listening:
            taken.listen()
        with lock:
            assert "does not answer as a bot" in caplog.text


def test_who_asks_and_says_nothing_holds_up_nobody_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ASKING_S", 0.2)
    with Lock("wecom", "bot", SECRET) as lock, socket.socket(socket.AF_UNIX) as silent:
        silent.connect(lock._address)
        with pytest.raises(Running), Lock("wecom", "bot", SECRET):
            pass


def test_no_answer_of_a_lock_is_the_id_of_a_session() -> None:
    named = json.dumps(["wecom", "bot", "c", "u"]).encode()
    question = named[: module.QUESTION_BYTES].ljust(module.QUESTION_BYTES, b" ")
    with Lock("wecom", "bot", SECRET) as lock, socket.socket(socket.AF_UNIX) as asking:
        asking.connect(lock._address)
        asking.sendall(question)
        answer = asking.recv(64)
    assert len(answer) == 32
    assert answer != hmac.new(SECRET.encode(), question, "sha256").digest()
