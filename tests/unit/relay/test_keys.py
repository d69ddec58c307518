"""The keys of repeated questions: whose run they are, and when they go."""

from __future__ import annotations

import threading

import pytest
from msgspec.structs import replace

from clawgate.errors import BadRequest
from clawgate.relay import keys as keys_module
from clawgate.relay.keys import Keys
from clawgate.relay.prompt import ChatRequest
from clawgate.sessions import Message

ASKED = ChatRequest(model="m", message=Message(role="user", content="q"), request_id="one")


def test_the_same_request_finds_its_run_whatever_its_own_id() -> None:
    keys = Keys(lambda _: True)
    assert keys.run_of("k", ASKED) is None
    keys.note("k", ASKED, "s", "r")
    assert keys.run_of("k", replace(ASKED, request_id="two")) == "r"
    assert keys.run_of("other", ASKED) is None


@pytest.mark.parametrize(
    "other",
    [
        replace(ASKED, message=Message(role="user", content="p")),
        replace(ASKED, session_id="s"),
        replace(ASKED, model="n"),
        replace(ASKED, extras={"think": True}),
    ],
)
def test_another_request_under_a_key_is_refused(other: ChatRequest) -> None:
    keys = Keys(lambda _: True)
    keys.note("k", ASKED, "s", "r")
    with pytest.raises(BadRequest, match="Idempotency-Key: expected a new key for another request"):
        keys.run_of("k", other)


def test_a_key_is_found_while_another_is_noted() -> None:
    """Each that is noted looks at old ones, and puts them behind the others."""
    found: list[str | None] = []
    asking = threading.Thread(target=lambda: found.append(keys.run_of("k", ASKED)))

    def has_session(_: str) -> bool:
        if not (found or asking.is_alive()):
            asking.start()
            asking.join(0.05)
        return True

    keys = Keys(has_session)
    keys.note("k", ASKED, "s", "r")
    keys.note("other", ASKED, "s", "r2")
    asking.join()
    assert found == ["r"]


def test_a_key_goes_with_its_session() -> None:
    known = {f"s{number}" for number in range(1000)}
    keys = Keys(known.__contains__)
    for number in range(1000):
        keys.note(f"k{number}", ASKED, f"s{number}", f"r{number}")
        known.discard(f"s{number - 5}")
    assert keys.run_of("k0", ASKED) is None
    assert [keys.run_of(f"k{number}", ASKED) for number in range(995, 1000)] == [f"r{n}" for n in range(995, 1000)]
    assert len(keys._known) < 20
    keys.note("k0", ASKED, "s999", "r")
    assert keys.run_of("k0", ASKED) == "r"


def test_there_are_not_more_than_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_module, "MAX_KEYS", 100)
    keys = Keys(lambda _: True)
    for number in range(1000):
        keys.note(f"k{number}", ASKED, "s", f"r{number}")
    assert len(keys._known) == 100
    assert keys.run_of("k999", ASKED) == "r999"
