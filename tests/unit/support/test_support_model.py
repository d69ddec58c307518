"""The deterministic model: whatever is dropped, continuations add up to the answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.client import StreamClient
from tests.support.ollama import DEFAULT_MODEL, ScriptedOllama, status

WORDS = "故宫、天坛、颐和园。" * 5
USER = {"role": "user", "content": "Where to?"}


def ask(ollama: ScriptedOllama, said: dict[str, Any] | None = None, **fields: Any) -> tuple[str, str, bool]:
    """Return text, thinking and whether the answer came to its end."""
    messages = [USER] if said is None else [USER, {"role": "assistant", **said}]
    with StreamClient(ollama.base_url, {"model": DEFAULT_MODEL, "messages": messages, **fields}) as client:
        try:
            frames = [json.loads(line) for line in client.read_body().splitlines()]
        except ConnectionError:
            return "", "", False
        said_now = [frame["message"] for frame in frames]
        words = "".join(message["content"] for message in said_now)
        return words, "".join(message.get("thinking", "") for message in said_now), client.complete


@pytest.mark.parametrize("reset", [False, True])
def test_continuations_add_up_when_connections_drop(ollama: ScriptedOllama, reset: bool) -> None:
    ollama.answer(WORDS, token_size=3, drop_after=[3, 0, 1], reset=reset)
    words, lengths = "", []
    for _ in range(4):
        more, _, is_complete = ask(ollama, {"content": words} if words else None)
        words += more
        lengths.append(len(more))
    assert words == WORDS
    assert is_complete
    if not reset:  # a reset may take with it what was not read yet
        assert lengths == [9, 0, 3, len(WORDS) - 12]


@pytest.mark.parametrize(
    ("said", "fields", "thought"),
    [
        (None, {}, "hm."),
        (None, {"think": True}, "hm."),
        (None, {"think": False}, ""),
        ({"content": WORDS[:5]}, {}, "hm."),
        ({"content": WORDS[:5], "thinking": "hm."}, {}, ""),
        ({"content": WORDS[:5]}, {"think": False}, ""),
    ],
)
def test_thinking_comes_first_unless_it_was_given(
    ollama: ScriptedOllama, said: dict[str, Any] | None, fields: dict[str, Any], thought: str
) -> None:
    ollama.answer(WORDS, thinking="hm.")
    words, thinking, _ = ask(ollama, said, **fields)
    assert (said or {"content": ""})["content"] + words == WORDS
    assert thinking == thought


def test_thinking_is_counted_when_dropped(ollama: ScriptedOllama) -> None:
    ollama.answer(WORDS, thinking="abcdefgh", token_size=2, drop_after=[2])
    assert ask(ollama) == ("", "abcd", False)
    assert ask(ollama) == (WORDS, "abcdefgh", True)


def test_queued_scripts_come_before_the_model(ollama: ScriptedOllama) -> None:
    ollama.answer(WORDS)
    ollama.script(status(503))
    with StreamClient(ollama.base_url, {"model": DEFAULT_MODEL, "messages": [USER]}) as client:
        assert client.status == 503
    assert ask(ollama)[0] == WORDS


def test_altered_partial_text_is_a_problem() -> None:
    with ScriptedOllama() as ollama:
        ollama.answer(WORDS)
        messages = [USER, {"role": "assistant", "content": WORDS[:4] + " "}]
        with StreamClient(ollama.base_url, {"model": DEFAULT_MODEL, "messages": messages}) as client:
            assert client.status == 400
        assert "altered" in ollama.problems[0]
