"""The hash of an id in the log: the same everywhere under one key, and another under another key."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest

from clawgate.bots.talk import Identity
from clawgate.config import LoggingConfig
from clawgate.telemetry.ids import NAMED, NOT_KNOWN, Id, Pseudonyms
from clawgate.telemetry.logs import JsonFormatter, TextFormatter, dict_config

KEY = b"k" * 16
SESSION, RUN = "sess_" + "0a" * 16, "run_" + "1b" * 16


def line_of(message: str, *args: Any, key: bytes = KEY, is_whole: bool = False, has_fault: bool = False) -> str:
    """Return what a record becomes behind the filter."""
    record = logging.LogRecord("clawgate", logging.INFO, "", 0, message, args, sys.exc_info() if has_fault else None)
    assert Pseudonyms(key, is_whole).filter(record)
    return TextFormatter("%(message)s").format(record)


def hash_of(whole: str, key: bytes = KEY) -> str:
    return line_of("%(session)s", {"session": Id(whole)}, key=key)


def test_an_id_has_one_hash_under_a_key_and_another_under_another() -> None:
    assert hash_of("mine") == hash_of("mine")
    assert len({hash_of("mine"), hash_of("mine", b"l" * 16), hash_of("Mine"), hash_of("yours")}) == 4
    assert len(hash_of("m" * 128)) == 10


def test_members_are_named_by_their_hash() -> None:
    names = {"session": Id("mine"), "run": Id(RUN), "request": "r1"}
    assert line_of(NAMED, names) == f"session={hash_of('mine')} run={hash_of(RUN)} request=r1"
    unknown = {"session": NOT_KNOWN, "run": NOT_KNOWN, "request": NOT_KNOWN}
    assert line_of(NAMED, unknown) == "session=- run=- request=-"


@pytest.mark.parametrize(
    ("path", "whole", "around"),
    [
        ("/api/sessions/mine", "mine", "/api/sessions/{}"),
        ("/llm/api/sessions/mine/stream", "mine", "/llm/api/sessions/{}/stream"),
        ("/api//sessions//mine", "mine", "/api//sessions//{}"),
        ("/API/Session/mine", "mine", "/API/Session/{}"),
        ("/api/sessions/'a b'/mine", "'a b'/mine", "/api/sessions/{}"),
        (f"/nowhere/{SESSION}", SESSION, "/nowhere/{}"),
        ("/api/chat", "", "/api/chat"),
    ],
)
def test_a_path_holds_the_same_hash(path: str, whole: str, around: str) -> None:
    assert line_of("%(U)s", {"U": path}) == around.format(hash_of(whole))


def test_what_is_no_proper_request_has_no_path() -> None:
    assert line_of("%(U)s", {"U": None}) == "None"


def test_ids_in_a_text_of_others_are_hashed() -> None:
    told = line_of("Error handling request %s %s", "GET", "/api/sessions/mine?x=1")
    assert told == f"Error handling request GET /api/sessions/{hash_of('mine')}?x=1"
    assert line_of(f"no {SESSION}, no {RUN}: 100%") == f"no {hash_of(SESSION)}, no {hash_of(RUN)}: 100%"


def test_a_traceback_names_no_id() -> None:
    try:
        raise KeyError("mine")
    except KeyError:
        told = line_of(NAMED, {"session": Id("mine"), "run": Id(RUN), "request": "r1"}, has_fault=True)
    assert told.endswith(f"KeyError: '{hash_of('mine')}'")
    try:
        raise ValueError(f"{SESSION} at /api/sessions/mine")
    except ValueError:
        told = line_of("failed", has_fault=True)
    assert told.endswith(f"ValueError: {hash_of(SESSION)} at /api/sessions/{hash_of('mine')}")


def test_at_debug_ids_are_whole() -> None:
    names = {"session": Id("mine"), "run": Id(RUN), "request": "r1"}
    assert line_of(NAMED, names, is_whole=True) == f"session=mine run={RUN} request=r1"
    assert line_of("%(U)s", {"U": "/api/sessions/mine"}, is_whole=True) == "/api/sessions/mine"
    for config, is_whole in ((LoggingConfig(level="debug"), True), (LoggingConfig(), False)):
        made = dict_config(config, KEY)["filters"]["pseudonyms"]
        assert (made["is_whole"], made["key"]) == (is_whole, KEY)


def test_a_log_without_the_filter_names_nobody() -> None:
    """As in another application, which has its own handlers."""
    names = {"session": Id("mine"), "run": Id(RUN), "request": "r1"}
    assert NAMED % names == "session=… run=… request=r1"
    record = logging.LogRecord("clawgate", logging.INFO, "", 0, f"answer ended: {NAMED}", (names,), None)
    assert json.loads(JsonFormatter().format(record)).items() >= {"session": "…", "run": "…", "request": "r1"}.items()


def test_the_id_of_a_bots_session_is_no_exception() -> None:
    whole = Identity("wecom", "bot", "secret").session_id_of(("chat", "user"))
    assert line_of("session %s: no answer", whole) == f"session {hash_of(whole)}: no answer"
    assert line_of("session %s: no answer", whole, is_whole=True) == f"session {whole}: no answer"
