"""The keys of repeated questions in Redis: whose they are, and how many."""

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


def test_a_key_is_given_back_by_the_process_that_has_it(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        link, client = Link(server.url, "t"), server.client()
        slow, quick = (RedisKeys(link, lambda _: True, lambda: 1800) for _ in range(2))
        assert slow.reserve("key", ASKED) is None
        [name] = client.keys("t:key:*")
        client.delete(name)  # its time is over
        assert quick.reserve("key", ASKED) is None
        slow.give_back("key")
        assert client.exists(name)
        quick.give_back("key")
        assert not client.exists(name)
        assert slow.reserve("key", ASKED) is None
        slow.note("key", ASKED, "s", "run")
        slow.give_back("key")
        assert quick.reserve("key", ASKED) == "run"
        link.close()


def test_a_key_whose_session_is_gone_is_reserved_anew(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        link = Link(server.url, "t")
        known = {"s"}
        keys = RedisKeys(link, known.__contains__, lambda: 1800)
        keys.note("key", ASKED, "s", "run")
        assert keys.reserve("key", ASKED) == "run"
        known.clear()
        assert keys.run_of("key", ASKED) is None
        assert keys.reserve("key", ASKED) is None
        link.close()
