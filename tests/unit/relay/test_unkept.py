"""A run without a session: nothing of it is stored, its own id reaches it, and nothing is left of it at its end."""

from __future__ import annotations

import pytest

from clawgate.errors import UnknownSession
from clawgate.relay.following import Found
from clawgate.relay.prompt import ChatRequest
from tests.unit.relay.desk_room import QUESTION, MakeRoom

ASKED = ChatRequest(model="m", messages=(QUESTION,), is_kept=False)


def test_nothing_is_stored_of_it(room: MakeRoom) -> None:
    here = room()
    kept = here.ask("s")
    here.exchange().say("kept", is_done=True)
    kept.end()
    for _ in range(3):
        reader = here.ask(None, messages=(QUESTION,), is_kept=False)
        here.exchange().say("a", is_done=True)
        assert reader.end().done_reason == "stop"
        with pytest.raises(UnknownSession):
            here.desk.session(reader.run.session_id)
        with pytest.raises(UnknownSession):
            here.desk.find(reader.run.session_id, None)
    assert here.messages() == [("user", "q", False), ("assistant", "kept", False)]


def test_its_own_id_interrupts_it_and_no_session_is_named(room: MakeRoom) -> None:
    here = room()
    reader = here.ask(None, messages=(QUESTION,), is_kept=False)
    here.exchange(said="some")
    done = here.desk.interrupt(None, reader.run.run_id)
    assert done == (None, reader.run.run_id, True, "some")
    assert reader.end().done_reason == "interrupted"
    assert here.desk.interrupt(None, reader.run.run_id) == (None, reader.run.run_id, False, "")
    with pytest.raises(UnknownSession):
        here.desk.interrupt(reader.run.session_id, None)


def test_its_key_stands_for_it_while_it_is_in_flight(room: MakeRoom) -> None:
    here = room()
    run = here.desk.admit_once(ASKED, "key", ASKED)
    assert run is not None
    again = here.desk.admit_once(ASKED, "key", ASKED)
    assert isinstance(again, Found)
    assert (again.run_id, again.is_kept) == (run.run_id, False)
    here.desk.release(run)  # type: ignore[arg-type]
    other = here.desk.admit_once(ASKED, "key", ASKED)
    assert other is not None
    assert other.run_id != run.run_id
    here.desk.release(other)  # type: ignore[arg-type]
