"""The digest of a session: the same here, by Python's json, and in a browser."""

from __future__ import annotations

import hashlib
import json
import subprocess
from typing import Any

import pytest

from clawgate.sessions import Message, digest_of
from tests.support.tools import require


def system(content: str) -> Message:
    """A system message."""
    return Message(role="system", content=content)


def user(content: str) -> Message:
    """A user message."""
    return Message(role="user", content=content)


def said(content: str, **fields: Any) -> Message:
    """An answer."""
    return Message(role="assistant", content=content, **fields)


HISTORIES: list[list[Message]] = [
    [],
    [system("s")],
    [said("hello")],
    [user('春光 🙂 \u2028\u2029\u0085 \x7f \x00\x1f\b\f\n\r\t "\\/ é e\u0301')],
    [system("s"), user("1"), said("a"), user("2"), said("b ", interrupted=True, thinking="hm")],
    [user("1"), said("a"), user("2"), said("b"), user("3"), said("c"), user("4"), said("d"), system("late")],
    [
        user("1"),
        said("a"),
        user("2"),
        user("3"),
        Message(role="tool", content="5", tool_name="f"),
        said("", interrupted=True),
    ],
]


def last_turns(messages: list[Message]) -> list[list[str]]:
    """The pairs of the last three turns, found the slow way: from the end."""
    pairs: list[list[str]] = []
    turns = 0
    for message in reversed(messages):
        if turns == 3:
            break
        if message.role != "system":
            pairs.insert(0, [message.role, message.text])
        turns += message.role == "user"
    first = next((index for index, pair in enumerate(pairs) if pair[0] == "user"), len(pairs))
    return pairs[first:]


@pytest.mark.parametrize("messages", HISTORIES)
def test_the_digest_is_the_hash_of_the_last_three_turns(messages: list[Message]) -> None:
    text = json.dumps(last_turns(messages), separators=(",", ":"), ensure_ascii=False)
    assert digest_of(messages) == hashlib.sha256(text.encode()).hexdigest()


def test_the_digest_is_known_for_a_known_history() -> None:
    assert "".join(content for _, content in last_turns(HISTORIES[5])) == "2b3c4d"
    # printf '[["user","春"]]' | sha256sum
    assert digest_of([system("x"), user("春")]) == "0612e6371d24bbf430560d86ebcfe6595e4d038ce0676261392307627e4b11ef"


def test_the_digest_is_what_a_browser_computes() -> None:
    node = require("node", "it computes the digest as a browser does")
    script = (
        "const hash = (pairs) => require('crypto').createHash('sha256').update(JSON.stringify(pairs)).digest('hex');"
        "console.log(JSON.stringify(JSON.parse(require('fs').readFileSync(0)).map(hash)))"
    )
    given_pairs = json.dumps([last_turns(messages) for messages in HISTORIES])
    done = subprocess.run([node, "-e", script], input=given_pairs, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [digest_of(messages) for messages in HISTORIES]
