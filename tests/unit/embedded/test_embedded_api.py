"""The bodies that the embedded model takes and refuses, and what they become for the engine."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from clawgate.embedded.api import ChatRequest, GenerateRequest, Refused, ShowRequest, job_of, read_body
from clawgate.embedded.job import context_of, keep_of, limit_of, lookback_of


def request(**fields: Any) -> ChatRequest:
    """Return a request as it is after decoding."""
    messages = fields.pop("messages", [{"role": "user", "content": "Hi"}])
    return read_body(msgspec.json.encode({"model": "smollm2", "messages": messages, **fields}), ChatRequest)


def test_defaults_are_ollamas() -> None:
    job = job_of(request())
    assert job.settings["temperature"] == 0.8
    assert job.settings["repeat_penalty"] == 1.1
    assert "seed" not in job.settings
    assert (job.limit, job.response, job.context) == (None, None, None)
    assert (job.keep, job.lookback, job.truncates, job.shifts) == (4, 64, True, True)


def test_options_are_mapped_and_unknown_ones_ignored() -> None:
    job = job_of(request(options={"temperature": 0, "seed": 7, "top_k": 3.0, "num_predict": 5, "numa": True}))
    assert job.settings["temperature"] == 0
    assert (job.settings["seed"], job.settings["top_k"], job.limit) == (7, 3, 5)
    assert not {"numa", "num_predict", "num_ctx", ""} & set(job.settings)
    job = job_of(request(options={"num_ctx": 8192, "num_keep": -1}, truncate=False, shift=False))
    assert (job.context, job.keep, job.truncates, job.shifts) == (8192, -1, False, False)
    free = read_body(b'{"prompt": "Hi", "truncate": false, "shift": false}', GenerateRequest).as_chat()
    assert (job_of(free).truncates, job_of(free).shifts) == (False, False)


@pytest.mark.parametrize(
    ("asked", "context"),
    [(None, 4096), (0, 4096), (1, 256), (-5, 256), (1000, 1024), (1024, 1024), (8192, 8192), (100_000, 32_768)],
)
def test_context_is_what_is_asked_up_to_the_models_own(asked: int | None, context: int) -> None:
    assert context_of(asked, 32_768) == context
    assert context_of(asked, 2048) == min(context, 2048)


@pytest.mark.parametrize(("asked", "limit"), [(5, 5), (None, 2560), (-1, 2560), (-2, 2560), (0, 2560), (9999, 2560)])
def test_no_answer_is_longer_than_ten_contexts(asked: int | None, limit: int) -> None:
    assert limit_of(asked, 256) == limit


@pytest.mark.parametrize(("asked", "lookback"), [(64, 64), (0, 0), (-1, 256), (-(10**18), 256), (500_000_000, 256)])
def test_penalties_look_back_no_further_than_the_context(asked: int, lookback: int) -> None:
    assert lookback_of(job_of(request(options={"repeat_last_n": asked})).lookback, 256) == lookback


@pytest.mark.parametrize(("asked", "keep"), [(4, 4), (0, 0), (-1, -1), (-1000, -1), (10**30, 256)])
def test_no_more_is_kept_than_the_context(asked: int, keep: int) -> None:
    assert keep_of(job_of(request(options={"num_keep": asked})).keep, 256) == keep


@pytest.mark.parametrize("seed", [-1, -7])
def test_negative_seed_is_a_new_one_each_time(seed: int) -> None:
    assert "seed" not in job_of(request(options={"seed": seed})).settings


@pytest.mark.parametrize(
    ("option", "kind"),
    [
        ({"temperature": "hot"}, "float32"),
        ({"num_predict": True}, "integer"),
        ({"stop": "end"}, "array"),
        ({"stop": [1]}, "string array"),
    ],
)
def test_option_of_a_wrong_type_is_ollamas_error(option: dict[str, Any], kind: str) -> None:
    with pytest.raises(Refused, match=f'^option "{next(iter(option))}" must be of type {kind}$'):
        job_of(request(options=option))


def test_neighbours_of_one_role_are_joined() -> None:
    messages = [
        {"role": "System", "content": "Be brief."},
        {"role": "user", "content": "a"},
        {"role": "user", "content": "b"},
        {"role": "assistant", "content": None},
    ]
    assert job_of(request(messages=messages)).messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "a\n\nb"},
        {"role": "assistant", "content": ""},
    ]


def test_many_neighbours_are_joined_in_a_moment() -> None:
    asked = request(messages=[{"role": "user", "content": "hello there"}] * 60_000)
    began_s = time.process_time()
    assert len(job_of(asked).messages) == 1
    assert time.process_time() - began_s < 1, "with a copy of all before it for each it is 6 s"


@pytest.mark.parametrize(
    ("wanted", "response"),
    [
        (None, None),
        ("", None),
        ("json", {"type": "json_object"}),
        ({"type": "object"}, {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}),
    ],
)
def test_format_becomes_a_response_format(wanted: Any, response: Any) -> None:
    assert job_of(request(format=wanted)).response == response


def test_other_format_is_refused() -> None:
    with pytest.raises(Refused, match='invalid format: "yaml"'):
        job_of(request(format="yaml"))


@pytest.mark.parametrize(("keep_alive", "frees"), [(0, True), ("0", True), ("0s", True), ("1h5m", False), (-1, False)])
def test_keep_alive_of_zero_frees_the_model(keep_alive: Any, frees: bool) -> None:
    assert request(keep_alive=keep_alive).frees_the_model is frees
    assert request().frees_the_model is False


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b" ", "missing request body"),
        (b"{", "truncated"),
        (b'{"model": "\xff"}', "(?i)utf-8|decode"),
        (b'{"model": 3}', r"\$\.model"),
        (b'{"messages": [{"content": ["Hi"]}]}', r"\$\.messages"),
        (b'{"keep_alive": "soon"}', 'invalid duration "soon"'),
        (b'{"format":' + b"[" * 100_000, "(?i)recursion"),
    ],
)
def test_body_that_is_wrong_is_named(body: bytes, words: str) -> None:
    with pytest.raises(Refused, match=words) as refused:
        read_body(body, ChatRequest)
    assert refused.value.status == 400


def test_show_takes_the_older_name_too() -> None:
    assert read_body(b'{"name": "smollm2"}', ShowRequest).name == "smollm2"
