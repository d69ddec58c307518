"""What a question is sent with, and what a gateway that has forgotten is told."""

from __future__ import annotations

from clawgate.terminal.conversation import Conversation

USER = {"role": "user", "content": "one"}
SYSTEM = {"role": "system", "content": "Be brief."}


def test_the_first_question_begins_a_session() -> None:
    talk = Conversation({"model": "m"}, "Be brief.")
    assert not talk.is_begun
    assert talk.question("one") == {"model": "m", "messages": [SYSTEM, USER]}
    assert Conversation({}).question("one") == {"messages": [USER]}


def test_later_ones_are_added_to_it() -> None:
    talk = Conversation({"think": False})
    talk.session_id = "s"
    talk.note("one", "1", is_whole=True)
    assert talk.is_begun
    assert not talk.is_cut_off
    assert talk.question("two") == {"think": False, "session_id": "s", "message": "two"}


def test_a_gateway_that_has_forgotten_is_told_all() -> None:
    talk = Conversation({}, "Be brief.")
    talk.session_id = "s"
    talk.note("one", "1", is_whole=True)
    talk.note("two", "par", is_whole=False)
    assert talk.is_cut_off
    cut = {"role": "assistant", "content": "par", "interrupted": True}
    before = [SYSTEM, USER, {"role": "assistant", "content": "1"}, {"role": "user", "content": "two"}]
    assert talk.anew("three")["messages"] == [*before, cut, {"role": "user", "content": "three"}]
    assert talk.anew(None) == {"session_id": "s", "messages": [*before, cut]}
    talk.note(None, "tial", is_whole=True)
    assert talk.messages == [*before, {"role": "assistant", "content": "partial"}]
    talk.begin()
    assert (talk.session_id, talk.messages) == ("", [SYSTEM])


def test_an_empty_partial_answer_is_asked_again() -> None:
    talk = Conversation({})
    talk.session_id = "s"
    talk.note("one", "", is_whole=False)
    assert talk.is_cut_off
    assert talk.anew(None)["messages"] == [USER]
    assert talk.continuation() == {"session_id": "s", "continue": True}


def test_an_old_one_is_taken_over() -> None:
    talk = Conversation({})
    talk.resume("s", [USER])
    assert talk.is_cut_off, "its question has no answer"
    talk.resume("s", [])
    assert not talk.is_cut_off
