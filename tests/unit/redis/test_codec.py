"""Sessions as bytes: what comes back is what went in, and what is damaged is said to be."""

from __future__ import annotations

import base64
import random
import tracemalloc
import zlib
from typing import Any

import msgspec
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from clawgate.redis.codec import FIELDS, PART_BYTES, SHORT_BYTES, Damaged, packed, session_of, unpacked
from clawgate.sessions import Message, digest_of, size_of

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ITEMS = st.lists(st.dictionaries(TEXTS, st.integers(-(2**53), 2**53) | TEXTS, max_size=2), max_size=2).map(tuple)
MESSAGES = st.builds(
    Message,
    role=st.sampled_from(["system", "user", "assistant", "tool"]),
    content=TEXTS,
    thinking=TEXTS,
    images=st.lists(st.text("AZaz09+/=", max_size=20), max_size=2).map(tuple),
    tool_calls=ITEMS,
    tool_name=TEXTS,
    tool_call_id=TEXTS,
    interrupted=st.booleans(),
    refused=st.booleans(),
)
LONG = Message(role="user", content="x" * SHORT_BYTES)
FACTS = {
    "format": b"1",
    "version": b"7",
    "run": b"run_1",
    "last_run": b"run_1",
    "created": b"1500000",
    "active": b"2500000",
    "sizes": b"29 0 1 2",
    "messages": b"1",
}
DATA = b"".join(packed([Message(role="user", content="q" * 30)], are_pictures=False))


def back(*messages: Message, are_pictures: bool = False) -> tuple[Message, ...]:
    """Pack messages and unpack them."""
    return unpacked([bytes(part) for part in packed(messages, are_pictures=are_pictures)])


@given(st.lists(MESSAGES, max_size=4), st.booleans())
def test_messages_come_back(messages: list[Message], are_pictures: bool) -> None:
    assert back(*messages, are_pictures=are_pictures) == tuple(messages)
    assert back(*messages, LONG)[:-1] == tuple(messages), "beside a long one each is decoded by itself"


@pytest.mark.parametrize("around", [(), (LONG,)], ids=["short", "long"])
@pytest.mark.parametrize(
    "message",
    [
        Message(role="user", content=Raw(rb'"a\/b \u00e9"')),
        Message(role="assistant", tool_calls=Raw(b'[{"x": 1.10, "y": 123456789012345678901234567890}]')),
        Message(role="user", images=Raw(b'["' + b"A" * SHORT_BYTES + b'"]')),
        Message(role="user", content=Raw(b'"' + b"x" * SHORT_BYTES + b'"')),
    ],
    ids=["escapes", "numbers", "picture", "text"],
)
def test_json_that_says_more_than_its_value_stays_as_it_came(message: Message, around: tuple[Message, ...]) -> None:
    assert back(message, *around)[0] == message


def test_a_long_answer_comes_back_as_json_with_the_same_digest_and_size() -> None:
    told = (Message(role="user", content="q"), Message(role="assistant", content="\N{PARTY POPPER}" * SHORT_BYTES))
    came = back(*told)
    assert isinstance(came[1].content, Raw)
    assert (digest_of(came), came[1].text, size_of(came[1])) == (digest_of(told), told[1].text, size_of(told[1]))


def test_pictures_take_three_quarters_and_long_ones_go_in_parts() -> None:
    picture = base64.b64encode(random.Random(1).randbytes(2 * PART_BYTES)).decode()
    parts = packed([Message(role="user", images=(picture,))], are_pictures=True)
    assert [len(part) for part in parts[:-1]] == [PART_BYTES] * 2
    assert sum(map(len, parts)) < 0.76 * len(picture)


def test_a_long_session_takes_no_more_than_a_few_copies() -> None:
    picture = Raw(b'["%b"]' % base64.b64encode(random.Random(1).randbytes(1 << 20)))
    tracemalloc.start()
    try:
        parts = [bytes(part) for part in packed([Message(role="user", images=picture)], are_pictures=True)]
        _, packing = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        messages = unpacked(parts, len(picture))
        held, unpacking = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert messages[0].images == picture
    assert packing < 4 * len(picture)
    assert unpacking - before < 4 * len(picture)
    assert held - before < 1.1 * len(picture)


def test_the_fields_of_a_session_are_read() -> None:
    session = session_of("s", [*(FACTS.get(name) for name in FIELDS), DATA])
    assert (session.session_id, session.version, session.run_id, session.last_run_id) == ("s", 7, "run_1", "run_1")
    assert (session.created_at, session.last_active, session.size_bytes, session.image_bytes) == (1.5, 2.5, 29, 0)
    assert (session.dropped, session.untrimmed, session.messages[0].text) == ((1, 2), (), "q" * 30)


@pytest.mark.parametrize("name", [name for name in FACTS if name not in ("format", "run", "last_run")])
@pytest.mark.parametrize("value", [None, b"", b"x", b"\xff"])
def test_a_field_that_is_damaged_is_noticed(name: str, value: bytes | None) -> None:
    facts = {**FACTS, name: value}
    with pytest.raises(Damaged):
        session_of("s", [*(facts.get(field) for field in FIELDS), DATA])


@pytest.mark.parametrize("end", range(len(DATA)))
def test_messages_that_are_cut_are_noticed(end: int) -> None:
    with pytest.raises(Damaged):
        unpacked([DATA[:end]])


@pytest.mark.parametrize(
    "json",
    [b"", b"{}", b"[1]", b'[{"role":"owner","content":""}]', b'[{"role":"user","content":"","new":1}]', b"[" * 9],
)
def test_messages_of_another_shape_are_noticed(json: bytes) -> None:
    for text in (json, json + b" " * SHORT_BYTES):
        with pytest.raises(Damaged):
            unpacked([zlib.compress(text)])


def test_a_text_that_is_no_text_is_noticed() -> None:
    with pytest.raises(Damaged):
        unpacked([zlib.compress(msgspec.json.encode([{"role": "user", "content": 1}]) + b" " * SHORT_BYTES)])


def test_a_short_session_is_sent_at_once_with_what_stands_around_it() -> None:
    parts = packed((Message(role="user", content="hello"),), are_pictures=False)
    connection: Any = redis.Redis().connection_pool.make_connection()
    assert len(connection.pack_command("EVALSHA", "sha", 1, "key", *parts, "more")) == 1
