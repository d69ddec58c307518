"""What was seen is remembered for its time, within its bound."""

from __future__ import annotations

from clawgate.bots.seen import Seen


def test_a_name_is_new_once_until_its_time_is_over() -> None:
    now = [0.0]
    seen = Seen(kept_s=10, clock=lambda: now[0])
    assert [seen.is_new("a"), seen.is_new("a"), seen.is_new("b")] == [True, False, True]
    now[0] = 9.9
    assert not seen.is_new("a")
    now[0] = 10.0
    assert seen.is_new("a")
    assert len(seen) == 1


def test_the_oldest_names_go_first() -> None:
    seen = Seen(most=100, clock=lambda: 0.0)
    assert all(seen.is_new(str(number)) for number in range(150))
    assert len(seen) == 100
    assert not seen.is_new("50")
    assert seen.is_new("49")


def test_names_of_several_parts_are_not_mixed_up() -> None:
    seen = Seen()
    names = [("a", "b"), ("ab",), ("a\0b",), ("a", "", "b"), ("", "ab"), ("\ud800",)]
    assert all(seen.is_new(*name) for name in names)
