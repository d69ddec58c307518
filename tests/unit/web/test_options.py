"""Ollama's options: known ones are checked by type, unknown ones are few and small."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.web.bodies import chat_of, mistake_in

LISTED = "a list of at most 64"


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"temperature": "hot"}, "temperature: expected a number, got str"),
        ({"temperature": True}, "temperature: expected a number, got bool"),
        ({"num_ctx": "4096"}, "num_ctx: expected an integer, got str"),
        ({"num_ctx": 4096.5}, "num_ctx: expected an integer, got float"),
        ({"seed": [1]}, "seed: expected an integer, got array"),
        ({"use_mmap": 1}, "use_mmap: expected true or false, got int"),
        ({"stop": "x"}, f"stop: expected {LISTED} texts, got str"),
        ({"stop": [1]}, f"stop: expected {LISTED} texts, got array"),
        ({"stop": ["x"] * 65}, f"stop: expected {LISTED} texts, got array"),
        ({"new": {}}, f"new: expected a number, a text, true, false or {LISTED} of them, got object"),
        ({"new": [[]]}, f"new: expected a number, a text, true, false or {LISTED} of them, got array"),
        ({"new": [0] * 65}, f"new: expected a number, a text, true, false or {LISTED} of them, got array"),
        ({"new": "x" * 5000}, "new: expected at most 4096 bytes, got 5002"),
        ({"a\nb" * 50: {}}, None),
    ],
)
def test_a_wrong_option_is_named(option: dict[str, Any], words: str | None) -> None:
    mistake = mistake_in({"message": "a", "options": {"num_predict": 5, **option}})
    assert mistake.startswith("options.a\\nb") if words is None else mistake == f"options.{words}"


def test_options_are_few() -> None:
    options = {f"new_{number}": number for number in range(64)}
    assert chat_of({"message": "a", "options": options}).extras == {"options": options}
    assert mistake_in({"message": "a", "options": {**options, "seed": 1}}) == (
        "options: expected at most 64 options, got 65"
    )


def test_right_options_and_unknown_ones_pass() -> None:
    options = {
        "temperature": 0,
        "top_p": 0.5,
        "num_ctx": 4096.0,
        "num_gpu": None,
        "stop": ["</s>", "\n"],
        "numa": False,
        "new": [1, "a", None, True],
        "newer": "x",
    }
    passed = chat_of({"message": "a", "options": options}).extras["options"]
    assert passed == options
    assert isinstance(passed["num_ctx"], int), "Ollama takes it for one"
