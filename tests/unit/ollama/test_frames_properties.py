"""Any bytes, in any pieces: the same frames, and nothing is ever raised."""

from __future__ import annotations

import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from clawgate.ollama.ndjson import Frame, FrameReader
from tests.support.tries import PATIENT, tried

pytestmark = PATIENT
MAX_LINE_BYTES = 64
GOOD = (
    b'{"message":{"content":"a"}}',
    '{"message":{"content":"春🙂\u2028\u0085"}}'.encode(),
    b'{"error":"x"}',
    b'{"done":true,"done_reason":"stop","eval_count":3}',
    b"{}",
)
BAD = (b"x", b"[]", b'{"message":5}', b'{"message":{"content":"\xff"}}', b'{"message":{"content":"\\ud800"}}', b"{" * 9)
lines = st.sampled_from([*GOOD, *BAD, b"", b"\r", b" \t", b"{" + b" " * MAX_LINE_BYTES + b"}"]) | st.binary(max_size=8)
streams = st.lists(lines, max_size=10).map(b"\n".join) | st.binary(max_size=80)


def read(stream: bytes, cuts: list[int], max_bad: int = 3) -> tuple[list[Frame], int, bool]:
    """All frames, how many lines were bad, and whether the stream is given up."""
    reader = FrameReader(max_bad, MAX_LINE_BYTES)
    ends = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    frames = [frame for start, end in pairwise(ends) for frame in reader.feed(stream[start:end])]
    return frames + reader.finish(), reader.bad, reader.is_broken


def is_frame(line: bytes) -> bool:
    """Tell whether a line is a frame, by another decoder and the words of the documentation."""
    try:
        found = json.loads(line.decode("utf-8"))
        json.dumps(found, ensure_ascii=False).encode()  # not with half a surrogate pair
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict)


@given(streams, st.lists(st.integers(0, 1000), max_size=8), st.integers(1, 4))
@tried(400)
def test_any_split_of_any_bytes_gives_the_same_frames(stream: bytes, cuts: list[int], max_bad: int) -> None:
    """But for a line that is too long, which is given up as soon as that is seen."""
    at_once = read(stream, [], max_bad)
    one_by_one = read(stream, list(range(len(stream))), max_bad)
    if max(map(len, stream.split(b"\n"))) <= MAX_LINE_BYTES:
        assert read(stream, cuts, max_bad) == at_once == one_by_one
    assert at_once[1] <= stream.count(b"\n") + 1
    assert at_once[1] >= at_once[2], "only bad lines are a reason to give up"


@given(st.lists(st.sampled_from([*GOOD, *BAD]), max_size=12), st.lists(st.integers(0, 1000), max_size=8))
@tried(200)
def test_good_lines_are_frames_and_bad_ones_are_counted_up_to_three_in_a_row(
    chosen: list[bytes], cuts: list[int]
) -> None:
    good, bad, in_a_row = 0, 0, 0
    for line in chosen:
        if line in GOOD:
            good, in_a_row = good + 1, 0
        else:
            bad, in_a_row = bad + 1, in_a_row + 1
            if in_a_row == 3:
                break
    frames, counted, is_broken = read(b"\n".join(chosen) + b"\n", cuts)
    assert (len(frames), counted, is_broken) == (good, bad, in_a_row == 3)


@given(st.binary(max_size=40).filter(lambda line: b"\n" not in line and line.strip() != b""))
@tried(400)
def test_a_line_that_is_no_json_object_is_never_a_frame(line: bytes) -> None:
    frames, bad, _ = read(line + b"\n", [])
    assert len(frames) + bad == 1
    assert not frames or is_frame(line)


@given(st.lists(st.integers(1, 3 * MAX_LINE_BYTES), min_size=1, max_size=6))
@tried(50)
def test_no_more_than_one_line_and_one_read_is_ever_kept(pieces: list[int]) -> None:
    reader = FrameReader(3, MAX_LINE_BYTES)
    for size in pieces:
        reader.feed(b"x" * size)
        assert sum(map(len, reader._open)) <= MAX_LINE_BYTES
    assert reader.is_broken == (sum(pieces) > MAX_LINE_BYTES)
