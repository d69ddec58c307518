"""Answers as plain text: byte for byte on a stream of their own, and in order where all goes to one terminal."""

from __future__ import annotations

import io

from clawgate.terminal.plain import PlainDisplay
from tests.support.screen import Screen


def shown(out: io.StringIO) -> list[str]:
    """What a terminal shows of it."""
    screen = Screen()
    screen.feed(out.getvalue().replace("\n", "\r\n").encode())
    assert screen.foreign == []
    return screen.shown


def play(display: PlainDisplay) -> None:
    """Play an answer with everything that can be told of it."""
    display.status("Waiting… 1 s")
    display.flush()
    display.status("Waiting… 2 s")
    display.thinking("hm\nhm")
    display.thought(3)
    display.status("")
    display.text("One \x1b[2Jw")
    display.flush()
    display.status("Ollama is away… 1 s")
    display.status("Ollama is away… 2 s")
    display.status("")
    display.text("ord\n")
    display.status("Waiting… 9 s")
    display.text("two")
    display.end()
    display.note("interrupted")
    display.end()


def test_a_pipe_gets_the_answer_and_nothing_else() -> None:
    for beside in (None, io.StringIO()):
        out = io.StringIO()
        play(PlainDisplay(out, beside, is_capable=True, shows_thinking=True))
        assert out.getvalue() == "One [2Jword\ntwo\n"
        assert beside is None or shown(beside) == ["hm", "hm", "Thought for 3 s", "interrupted"]


def test_a_terminal_shows_what_is_waited_for_and_takes_it_away() -> None:
    out = io.StringIO()
    display = PlainDisplay(out, out, is_capable=True)
    display.status("Waiting… 1 s")
    assert shown(out) == ["Waiting… 1 s"]
    display.status("Waiting… 2 s")
    assert shown(out) == ["Waiting… 2 s"]
    display.text("One")
    assert shown(out) == ["One"]
    display.status("Away… 1 s")
    display.status("Away… 2 s")
    display.text("more")
    assert shown(out) == ["One", "(Away…)", "more"], "what stands in the middle of a line cannot be taken away"
    display.end()
    display.note("interrupted")
    assert shown(out) == ["One", "(Away…)", "more", "interrupted"]
    assert "\x1b[2minterrupted\x1b[0m" in out.getvalue()


def test_a_terminal_that_can_nothing_gets_no_control_sequence() -> None:
    out = io.StringIO()
    play(PlainDisplay(out, out, shows_thinking=True))
    assert "\x1b" not in out.getvalue()
    assert "\r" not in out.getvalue()
    assert out.getvalue().splitlines() == [
        *("(Waiting…)", "hm", "hm", "Thought for 3 s", "One [2Jw", "(Ollama is away…)", "ord", "(Waiting…)", "two"),
        "interrupted",
    ]


def test_thinking_that_begins_anew_is_said_to() -> None:
    out = io.StringIO()
    display = PlainDisplay(out, out, shows_thinking=True)
    display.thinking("hm")
    display.restarted()
    display.thinking("ah")
    display.thought(1)
    display.end()
    assert out.getvalue().splitlines() == ["hm", "It thinks anew.", "ah", "Thought for 1 s"]
