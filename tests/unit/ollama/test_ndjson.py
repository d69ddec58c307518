"""Bytes of Ollama's stream into frames: the same at every cut, and patient with bad ones up to a point."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawgate.ollama.lenient import FIGURES
from clawgate.ollama.ndjson import MAX_ELEMENTS, Frame, FrameMessage, FrameReader, tokens_in

CREATED = '"created_at":"2025-08-14T09:21:03.123456789Z"'
RECORDED = "".join(
    f'{{"model":"qwen3:32b",{CREATED},{rest}}}\n'
    for rest in (
        '"message":{"role":"assistant","content":"","thinking":"想一想"},"done":false',
        '"message":{"role":"assistant","content":"春光"},"done":false',
        '"message":{"role":"assistant","content":"🙂👨‍👩‍👧 e\\u0301"},"done":false',
        '"message":{"role":"assistant","content":"a\u2028b\u2029c\u0085d\\r\\ne"},"done":false',
        '"message":{"role":"assistant","content":"","tool_calls":[{"function":{"name":"f","arguments":{"x":"ü"}}}]},'
        '"done":false',
        '"message":{"role":"assistant","content":""},"done_reason":"stop","done":true,"total_duration":5043500667,'
        '"load_duration":25025959,"prompt_eval_count":26,"prompt_eval_duration":325953000,"eval_count":290,'
        '"eval_duration":4709213000',
    )
).encode()
GOOD = b'{"message":{"content":"a"}}\n'


def read(*feeds: bytes, max_bad: int = 3, max_line_bytes: int = 1 << 20) -> tuple[list[Frame], FrameReader]:
    """All frames of a stream, and the reader after it."""
    reader = FrameReader(max_bad, max_line_bytes)
    frames = [frame for data in feeds for frame in reader.feed(data)]
    return frames + reader.finish(), reader


def text_of(frames: list[Frame]) -> str:
    """The text of the frames."""
    return "".join(frame.message.content or "" for frame in frames if frame.message)


def figures_of(frame: Frame) -> dict[str, int]:
    """The counts and durations that a frame has."""
    return {name: figure for name in FIGURES if (figure := getattr(frame, name)) is not None}


def test_a_recorded_stream_is_read() -> None:
    frames, reader = read(RECORDED)
    assert (len(frames), reader.bad, reader.is_broken) == (6, 0, False)
    assert text_of(frames) == "春光🙂👨‍👩‍👧 e\u0301a\u2028b\u2029c\u0085d\r\ne"
    assert frames[0].message is not None
    assert frames[0].message.thinking == "想一想"
    assert frames[4].message is not None
    assert frames[4].message.tool_calls == [{"function": {"name": "f", "arguments": {"x": "ü"}}}]
    assert [frame.done for frame in frames] == [False] * 5 + [True]
    assert frames[5].done_reason == "stop"
    assert figures_of(frames[5]) == {
        "total_duration": 5043500667,
        "load_duration": 25025959,
        "prompt_eval_count": 26,
        "prompt_eval_duration": 325953000,
        "eval_count": 290,
        "eval_duration": 4709213000,
    }
    assert figures_of(frames[0]) == {}


def test_frames_are_the_same_at_every_cut() -> None:
    whole, _ = read(RECORDED)
    for cut in range(len(RECORDED) + 1):
        frames, reader = read(RECORDED[:cut], RECORDED[cut:])
        assert (frames, reader.bad) == (whole, 0), f"cut at byte {cut}"


def test_frames_come_byte_by_byte_each_with_its_line_end() -> None:
    reader = FrameReader(3)
    told_at = [index for index, byte in enumerate(RECORDED) if reader.feed(bytes([byte]))]
    assert told_at == [index for index, byte in enumerate(RECORDED) if byte == ord("\n")]


texts = st.text('aé春🙂\u2028\u0085\0\r\n"\\ }', max_size=6)
messages = st.fixed_dictionaries(
    {},
    optional={
        "content": texts | st.none(),
        "thinking": texts,
        "tool_calls": st.lists(st.dictionaries(texts, texts | st.integers(), max_size=2), max_size=2),
        "role": st.just("assistant"),
    },
)
bodies = st.fixed_dictionaries(
    {},
    optional={"message": messages, "done": st.booleans(), "error": texts, "eval_count": st.integers(0, 2**40)},
)


@given(st.data(), st.lists(bodies, max_size=6), st.booleans(), st.booleans())
@settings(max_examples=40, deadline=None)
def test_any_split_of_a_valid_stream_gives_the_same_frames(
    data: st.DataObject, given_bodies: list[dict[str, object]], is_ascii: bool, ends_with_lf: bool
) -> None:
    stream = "\n".join(json.dumps(body, ensure_ascii=is_ascii) for body in given_bodies).encode()
    stream += b"\n" * ends_with_lf
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    frames, reader = read(*(stream[start:end] for start, end in pairwise([0, *cuts, len(stream)])))
    assert (len(frames), reader.bad) == (len(given_bodies), 0)
    assert text_of(frames) == "".join(str((body.get("message") or {}).get("content") or "") for body in given_bodies)  # type: ignore[attr-defined]
    assert [frame.error for frame in frames] == [body.get("error") for body in given_bodies]


@pytest.mark.parametrize(
    "bad",
    [
        b"x",
        b"[]",
        b"null",
        b'"text"',
        b"{",
        b'{"message":{"content":"a"}}x',
        b'{"message":{"content":5}}',
        b'{"message":"a"}',
        b'{"message":{"content":["a"]},"done":"no"}',
        b'{"message":{"content":"a","tool_calls":{}}}',
        b'{"message":"a","done_reason":"stop","eval_count":3}',
        b'{"done":true,"done_reason":"\\ud800","eval_count":"3"}',
        b'{"done":true,"eval_count":"3"',
        b'[{"done":true}]',
        b'"done"',
        b'{"message":{"content":"\\ud800"}}',
        b'{"message":{"content":"\xed\xa0\x80"}}',
        b'{"message":{"content":"\xff"}}',
        b'{"message":{"content":"\x00"}}',
        b'\xef\xbb\xbf{"message":{"content":"a"}}',
        b'{"x":' + b"[" * 5000,
        b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}",
    ],
)
def test_a_bad_line_between_good_ones_is_dropped_and_counted(bad: bytes) -> None:
    for feeds in ([GOOD + bad + b"\n" + GOOD], [GOOD, bad, b"\n", GOOD], [GOOD + bad, b"\n" + GOOD]):
        frames, reader = read(*feeds)
        assert (text_of(frames), reader.bad, reader.is_broken) == ("aa", 1, False)


def test_odd_but_valid_frames_are_read() -> None:
    line = b'{"message":{"content":"\\u0000\\ud83d\\ude42","new":[1]},"done":false,"done":true,"new":{}}\n'
    frames, reader = read(line, b"{}\n", b'{"message":null}\n')
    assert (text_of(frames), frames[0].done, len(frames), reader.bad) == ("\0🙂", True, 3, 0)


FIGURE: dict[str, int | None] = {
    "3": 3,
    "3.0": 3,
    "3.6": 4,
    "1.5e9": 1_500_000_000,
    '"12"': 12,
    '" 1.5e9 "': 1_500_000_000,
    "null": None,
    '"many"': None,
    '""': None,
    "true": None,
    "-1.5": None,
    '"-3"': None,
    "[]": None,
    '{"ns":3}': None,
    "NaN": None,
    "Infinity": None,
    '"NaN"': None,
    '"Infinity"': None,
    "1e400": None,
    "1e30": None,
}


@pytest.mark.parametrize("written", FIGURE)
@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_that_is_none_is_dropped_and_not_its_frame(name: str, written: str) -> None:
    line = f'{{"message":{{"content":"b"}},"done":true,"done_reason":"length","{name}":{written},"new":5}}\n'
    for feeds in ([GOOD + line.encode()], [GOOD, line.encode()], [GOOD, line.encode()[:-1]]):
        frames, reader = read(*feeds)
        assert (text_of(frames), reader.bad, frames[1].done, frames[1].done_reason) == ("ab", 0, True, "length")
        assert figures_of(frames[1]) == ({} if FIGURE[written] is None else {name: FIGURE[written]})


def test_a_frame_of_text_with_an_odd_figure_is_read_too() -> None:
    frames, reader = read(b'{"message":{"content":"a","thinking":null},"done":null,"eval_count":"1"}\n' * 5)
    assert (text_of(frames), reader.bad, frames[4].done, frames[4].eval_count) == ("aaaaa", 0, False, 1)


@pytest.mark.parametrize(
    ("written", "is_done"),
    [("true", True), ('"true"', True), ('" True "', True), ("1", True), ("1.0", True)]
    + [(odd, False) for odd in ("false", "null", "0", '"false"', '""', "2", '"yes"', "[true]", "{}", "NaN")],
)
def test_done_is_understood(written: str, is_done: bool) -> None:
    frames, reader = read(f'{{"message":{{"content":"a"}},"done":{written}}}\n'.encode())
    assert ([frame.done for frame in frames], text_of(frames), reader.bad) == ([is_done], "a", 0)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ('"no memory"', "no memory"),
        ('{"message":"no memory","code":500}', "no memory"),
        ('{"error":"no memory"}', "no memory"),
        ('{"message":{"x":"ü"}}', '{"x":"ü"}'),
        ('{"code":500}', '{"code":500}'),
        ('["no","memory"]', '["no","memory"]'),
        ("500", "500"),
        ("true", "true"),
        *((none, None) for none in ("null", "false", "{}", "[]", "0")),
    ],
)
def test_the_words_of_an_error_are_found(written: str, words: str | None) -> None:
    frames, reader = read(GOOD + f'{{"error":{written}}}\n'.encode())
    assert ([frame.error for frame in frames], reader.bad) == ([None, words], 0)


def test_the_words_of_an_error_are_few() -> None:
    frames, _ = read(b'{"error":[' + b'"x",' * 10_000 + b'"x"]}\n')
    assert len(frames[0].error or "") == 500


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("null", None),
        ('"b"', None),
        ("[]", None),
        ('{"content":null}', FrameMessage()),
        ('{"content":["b"]}', FrameMessage()),
        ('{"content":{"text":"b"},"thinking":"c","tool_calls":"d"}', FrameMessage(thinking="c")),
        ('{"content":"b","thinking":5,"tool_calls":[{},5]}', FrameMessage(content="b")),
        ('{"content":"b","tool_calls":[{"x":1}],"y":"\\u0000"}', FrameMessage("b", None, [{"x": 1}])),
    ],
)
@pytest.mark.parametrize("end", ['"done":true,"eval_count":"3"', '"error":{"message":"x"}', '"done":1'])
def test_the_end_is_the_end_whatever_its_message_is(message: str, said: FrameMessage | None, end: str) -> None:
    frames, reader = read(GOOD + f'{{"message":{message},"done_reason":7,{end}}}\n'.encode())
    assert reader.bad == 0
    assert (frames[1].done or frames[1].error == "x", frames[1].done_reason) == (True, None)
    assert frames[1].message == said


def test_an_error_line_is_a_frame() -> None:
    frames, reader = read(GOOD + b'{"error":"an error was encountered"}\n')
    assert (frames[1].error, frames[1].message, reader.bad) == ("an error was encountered", None, 0)


@pytest.mark.parametrize("empty", [b"\n", b"\r\n", b"\n\n  \n\t\r\n"])
def test_empty_lines_are_nothing(empty: bytes) -> None:
    frames, reader = read(empty + GOOD + empty, empty + GOOD + empty)
    assert (text_of(frames), reader.bad) == ("aa", 0)
    frames, reader = read(empty + GOOD + b"x\n" + empty + GOOD)  # beside a bad line they are read one by one
    assert (text_of(frames), reader.bad) == ("aa", 1)


def test_lines_that_end_in_crlf_are_read() -> None:
    stream = RECORDED.replace(b"\n", b"\r\n")
    assert read(stream)[0] == read(RECORDED)[0]
    assert read(stream[:-1])[0] == read(RECORDED)[0]


def test_a_carriage_return_within_a_frame_ends_no_line() -> None:
    line = b'{"message":\r{"content":\r"a"}}\n'
    assert (text_of(read(line)[0]), text_of(read(b"x\n" + line)[0])) == ("a", "a")


@pytest.mark.parametrize("max_bad", [1, 2, 3])
def test_bad_lines_in_a_row_break_the_stream_and_nothing_is_read_after(max_bad: int) -> None:
    together = GOOD + b"x\n" * max_bad + GOOD
    for feeds in ([together], [together[index : index + 1] for index in range(len(together))], [together, GOOD]):
        frames, reader = read(*feeds, max_bad=max_bad)
        assert (text_of(frames), reader.bad, reader.is_broken) == ("a", max_bad, True)


def test_bad_lines_are_in_a_row_only_without_a_good_one_between() -> None:
    stream = (b"x\n" * 2 + GOOD) * 5
    for feeds in ([stream], [stream[index : index + 1] for index in range(len(stream))], stream.splitlines(True)):
        frames, reader = read(*feeds)
        assert (text_of(frames), reader.bad, reader.is_broken) == ("aaaaa", 10, False)


def test_empty_lines_do_not_part_bad_ones() -> None:
    assert read(b"x\n\nx\n\r\nx\n")[1].is_broken
    assert read(b"x\n", b"\n", b"x\n", b"\r\n", b"x\n")[1].is_broken


def test_a_line_without_end_breaks_the_stream_and_is_let_go() -> None:
    reader = FrameReader(3, max_line_bytes=100)
    assert reader.feed(GOOD + b"x" * 60)
    assert reader.feed(b"x" * 40) == []
    assert not reader.is_broken
    assert reader.feed(b"x") == []
    assert (reader.is_broken, reader.bad) == (True, 1)
    assert reader.feed(b"\n" + GOOD) == []
    assert reader.finish() == []


def test_the_last_line_needs_no_line_end() -> None:
    reader = FrameReader(3)
    assert reader.feed(GOOD[:-1]) == []
    assert text_of(reader.finish()) == "a"
    assert reader.finish() == []
    assert FrameReader(3).finish() == []


def test_a_last_line_that_was_cut_is_bad() -> None:
    frames, reader = read(GOOD + GOOD[:-3])
    assert (text_of(frames), reader.bad, reader.is_broken) == ("a", 1, False)


@pytest.mark.parametrize(
    ("context", "tokens"),
    [
        (b"[1, 22,-3]", b"[1, 22,-3]"),
        (b"[]", b"[]"),
        (b"null", None),
        (b"7", None),
        (b'["\xff"]', None),
        (b"[1,\r2]", None),
        (b'{"a":[1]}', None),
    ],
)
def test_a_context_is_passed_on_unread_where_it_is_a_list_of_numbers(context: bytes, tokens: bytes | None) -> None:
    (frame,) = FrameReader(3).feed(b'{"done":true,"context":%b}\n' % context)
    found = tokens_in(frame)
    assert (None if found is None else bytes(found)) == tokens


def test_a_frame_has_so_many_tool_calls_as_memory_bears() -> None:
    def line(count: int) -> bytes:
        return b'{"message":{"tool_calls":[%b]}}\n' % b",".join([b"{}"] * count)

    frames, reader = read(line(MAX_ELEMENTS), line(MAX_ELEMENTS + 1), GOOD)
    assert (len(frames), reader.bad, reader.elements) == (2, 1, MAX_ELEMENTS)
