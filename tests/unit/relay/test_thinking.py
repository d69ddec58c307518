"""Thinking inside the content is parted from the text the same at every cut, and nothing is lost."""

from __future__ import annotations

import re
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawgate.ollama.ndjson import Frame, FrameMessage
from clawgate.relay.events import Event, Text, Thinking, ToolCalls
from clawgate.relay.smoothing import merge
from clawgate.relay.thinking import MAX_HELD, ContentThinking

CALL = {"function": {"name": "f", "arguments": {}}}


def content(*pieces: str) -> list[Frame]:
    """A frame for each piece of content."""
    return [Frame(FrameMessage(content=piece)) for piece in pieces]


def events_of(*reads: list[Frame]) -> list[Event]:
    """The events of an answer that ends behind these reads."""
    parting = ContentThinking()
    events: list[Event] = []
    for frames in reads:
        events += merge(parting.part(frames))[0]
        held = parting.held
        assert held is None or len(held.text) <= MAX_HELD
    return events + ([held] if held is not None else [])


def told(*reads: list[Frame]) -> tuple[str, str]:
    """The thinking and the text of an answer."""
    events = events_of(*reads)
    assert all(event.text for event in events if isinstance(event, Text | Thinking))
    kinds = [type(event) for event in events]
    assert kinds == sorted(kinds, key=[Thinking, Text].index), "thinking comes before text"
    return "".join(event.text for event in events if isinstance(event, Thinking)), "".join(
        event.text for event in events if isinstance(event, Text)
    )


WHOLE = {
    "<think>Hm.</think>Yes.": ("Hm.", "Yes."),
    " \n\t<think>\n嗯，好。\n</think>\n\n春光": ("嗯，好。\n", "春光"),
    "<think></think>Yes.": ("", "Yes."),
    "<think>\n \n</think>\n\n\nYes.\n\n": ("", "Yes.\n\n"),
    "<think>a</think> Yes.": ("a", "Yes."),
    "<think>a</think>\n\n    code\n": ("a", "    code\n"),
    "<think>a</think>\r\n \r\nYes.": ("a", "Yes."),
    "<think>a < b </ c </thin </think>Yes.": ("a < b </ c </thin ", "Yes."),
    "<think>a <think> b</think>c</think>d": ("a <think> b", "c</think>d"),
    "<think>a</think>\n<think>b</think>\n\nYes.": ("ab", "Yes."),
    "<think>a</think><think>\n \n</think>Yes.": ("a", "Yes."),
    "<think>a</think><think>\n b </think>Yes.": ("ab ", "Yes."),
    "<think>a</think>Yes <think>b</think>": ("a", "Yes <think>b</think>"),
    "<think>a</think>\n<thin": ("a", "<thin"),
    "<think>a</think><b>": ("a", "<b>"),
    "<think>a</think>": ("a", ""),
    "<think>a</think>\n\n  ": ("a", ""),
    "<think>never closed": ("never closed", ""),
    "<think>never closed </thin": ("never closed </thin", ""),
    "<think></thin": ("</thin", ""),
    "<think>": ("", ""),
    "<think": ("", "<think"),
    " <thi": ("", " <thi"),
    "<thinking>a</thinking>": ("", "<thinking>a</thinking>"),
    "< think>a</think>": ("", "< think>a</think>"),
    "<Think>a</Think>": ("", "<Think>a</Think>"),
    '<think type="x">a</think>': ("", '<think type="x">a</think>'),
    "\n\n  Yes. <think>a</think>": ("", "\n\n  Yes. <think>a</think>"),
    "</think>a": ("", "</think>a"),
    "<<think>a": ("", "<<think>a"),
    " \n": ("", " \n"),
    "": ("", ""),
}


@pytest.mark.parametrize("whole", WHOLE)
def test_an_answer_is_parted_the_same_at_every_cut(whole: str) -> None:
    assert told(content(whole)) == WHOLE[whole]
    assert told(*(content(letter) for letter in whole), []) == WHOLE[whole]
    for first in range(len(whole) + 1):
        for second in range(first, len(whole) + 1):
            pieces = (whole[:first], whole[first:second], whole[second:])
            assert told(content(*pieces)) == told(*map(content, pieces)) == WHOLE[whole]


def parted(whole: str) -> tuple[str, str]:
    """The same in other words, for a whole answer."""
    thoughts, is_behind = "", False
    while block := re.match(r"\s*<think>(.*?)(</think>|\Z)", whole, re.S):
        thoughts += block[1].lstrip()
        whole = whole[block.end() :]
        is_behind = True
    return thoughts, re.sub(r"\A(\s*\n(?=[^\S\n]*\S)|\s*(?=\S)|\s*\Z)", "", whole) if is_behind else whole


PIECES = st.lists(st.sampled_from(["<think>", "</think>", "<", "</", "think", ">", " ", "\n", "a", "春", "\u3000"]))


@given(PIECES, st.data())
@settings(max_examples=300, deadline=None)
def test_any_content_is_parted_as_its_whole_is(pieces: list[str], data: st.DataObject) -> None:
    whole = "".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    reads = [content(whole[start:end]) for start, end in pairwise([0, *cuts, len(whole)])]
    assert told(*reads) == parted(whole)


def test_the_first_fragment_is_passed_on_at_once_and_the_rest_untouched() -> None:
    parting = ContentThinking()
    first, rest = content("春"), content("<think>", "a")
    assert merge(parting.part([*first, *rest]))[0] == [Text("春<think>a")]
    assert parting.is_over
    assert parting.held is None


def test_thinking_is_passed_on_as_it_comes() -> None:
    parting = ContentThinking()
    said = [merge(parting.part(content(piece)))[0] for piece in ("<think>", "a", " <b", "</", "think>", "\n", "Y")]
    assert said == [[], [Thinking("a")], [Thinking(" <b")], [], [], [], [Text("Y")]]


@pytest.mark.parametrize("before", ["", "<think>a</think>", "<think>a</think>\n"])
def test_no_more_is_held_back_than_a_little_white_space(before: str) -> None:
    parting = ContentThinking()
    events = merge(parting.part(content(before, *" " * (MAX_HELD + 1), "Y")))[0]
    assert parting.is_over
    text = "".join(event.text for event in events if isinstance(event, Text))
    assert text.strip() == "Y"
    assert before or text == " " * (MAX_HELD + 1) + "Y", "nothing is lost"


def test_any_number_of_blank_lines_behind_a_block_goes() -> None:
    parting = ContentThinking()
    assert merge(parting.part(content("<think>a</think>", *["\n \n"] * 1000)))[0] == [Thinking("a")]
    assert parting.held is None
    assert merge(parting.part(content("Y")))[0] == [Text("Y")]


def own(thought: str, text: str = "") -> Frame:
    """A frame of a model that Ollama knows to think."""
    return Frame(FrameMessage(content=text, thinking=thought))


@pytest.mark.parametrize(
    ("frames", "events"),
    [
        ([own("a"), *content("<think>b")], [Thinking("a"), Text("<think>b")]),
        ([own("a", "<think>b")], [Thinking("a"), Text("<think>b")]),
        ([own(""), *content("<think>b</think>c")], [Thinking("b"), Text("c")]),
        ([*content(" <th"), own("a"), *content("b")], [Text(" <th"), Thinking("a"), Text("b")]),
        ([*content("<think>a"), own("b", "c</think>d")], [Thinking("abc"), Text("d")]),
        ([*content("<think>a</think>\n"), own("b"), *content("<think>")], [Thinking("ab"), Text("<think>")]),
    ],
)
def test_ollamas_own_thinking_stays_where_it_is(frames: list[Frame], events: list[Event]) -> None:
    assert merged(events_of(frames)) == events
    assert merged(events_of(*([frame] for frame in frames))) == events


def merged(events: list[Event]) -> list[Event]:
    """Join neighbours of a kind."""
    joined: list[Event] = []
    for event in events:
        last = joined[-1] if joined else None
        if isinstance(event, Text | Thinking) and isinstance(last, Text | Thinking) and type(event) is type(last):
            joined[-1] = type(event)(last.text + event.text)
        else:
            joined.append(event)
    return joined


def calling(text: str = "") -> Frame:
    """A frame with a tool call."""
    return Frame(FrameMessage(content=text, tool_calls=[CALL]))


CALLS = ToolCalls((CALL,))


@pytest.mark.parametrize(
    ("frames", "events"),
    [
        ([*content("<think>a</think>\n"), calling(), *content("b")], [Thinking("a"), CALLS, Text("b")]),
        ([*content("<think>a </th"), calling(), *content("b")], [Thinking("a </th"), CALLS, Thinking("b")]),
        ([*content(" <th"), calling(), *content("ink>b")], [Text(" <th"), CALLS, Text("ink>b")]),
        ([calling("<think>a</think>b")], [Thinking("a"), Text("b"), CALLS]),
        ([calling(), *content("<think>a</think>b")], [CALLS, Thinking("a"), Text("b")]),
    ],
)
def test_tool_calls_keep_their_place(frames: list[Frame], events: list[Event]) -> None:
    assert events_of(frames) == merged(events_of(*([frame] for frame in frames))) == events


@pytest.mark.parametrize(
    "last", [Frame(done=True, eval_count=3), Frame(error="x"), Frame(FrameMessage(" b"), done=True)]
)
def test_the_end_is_the_end(last: Frame) -> None:
    parting = ContentThinking()
    events, end = merge(parting.part([*content("<think>a"), last]))
    assert end is not None
    assert (end.done, end.error, end.eval_count) == (last.done, last.error, last.eval_count)
    assert events == [Thinking("a b" if last.message else "a")]


@pytest.mark.parametrize("block", ["<think></think>", "<think>a</think>", "<think>a</think>\n\n"])
def test_many_blocks_in_one_frame_are_soon_parted(block: str) -> None:
    """A frame may have 8 MiB, and no other thread gets the interpreter meanwhile."""
    began = time.process_time()
    assert told(content(block * 100_000 + "Yes.")) == ("a" * block.count("a") * 100_000, "Yes.")
    assert time.process_time() - began < 2
