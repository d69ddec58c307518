"""The keys of repeated questions in Redis: how many there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from clawgate.redis.keys import RedisKeys
from clawgate.redis.link import Link
from clawgate.relay.prompt import ChatRequest
from clawgate.sessions import Message
from tests.support.redis import RedisServer

ASKED = ChatRequest(model="m", message=Message(role="user", content="q"))


def test_so_many_keys_are_kept_and_the_oldest_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clawgate.redis.keys.MAX_KEYS", 3, raising=False)
    with RedisServer(tmp_path) as server:
        link = Link(server.url, "t")
        keys = RedisKeys(link, lambda _: True, lambda: 1800)
        for number in (0, 1, 2, 3, 2, 4):
            keys.note(f"key-{number}", ASKED, "s", f"run-{number}")
        assert [keys.run_of(f"key-{number}", ASKED) for number in range(5)] == [None, None, "run-2", "run-3", "run-4"]
        client = server.client()
        assert len(client.keys("t:key:*")) == client.zcard("t:keys") == 3
        link.close()
