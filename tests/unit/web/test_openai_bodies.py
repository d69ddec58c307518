"""The body of POST /v1/chat/completions: what it means to Ollama, and each mistake by its path."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from clawgate.errors import BadRequest
from clawgate.web.door.reading import parse_object
from clawgate.web.openai.calls import unquoted
from clawgate.web.openai.requests import Completion, CompletionBody, read_completion
from tests.support.pictures import TINY_GIF
from tests.unit.web.bodies import LONG, MODEL, anything, plain

HI = {"role": "user", "content": "春光"}
EFFORTS = '"none", "minimal", "low", "medium", "high", "xhigh", "ultra" or "max"'
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "北京"}'}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def read(body: Any, session_id: str | None = None) -> Completion:
    """Read a body: an object, or the very bytes."""
    data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    return read_completion(parse_object(data), MODEL, session_id)


def messages_of(*sent: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the messages that Ollama gets for those that a client sends."""
    found: list[dict[str, Any]] = plain(read({"messages": sent}).chat.messages)
    return found


def extras_of(**fields: Any) -> dict[str, Any]:
    """Return what Ollama gets beside the messages."""
    found: dict[str, Any] = plain(read({"messages": [HI], **fields}).chat.extras)
    return found


def mistake_in(body: Any) -> str:
    """Return the message for a body that is refused."""
    with pytest.raises(BadRequest) as caught:
        read(body)
    assert "\n" not in caught.value.message
    return caught.value.message


def test_the_least_body() -> None:
    read_ = read({"messages": [HI]})
    assert (read_.chat.model, read_.chat.session_id, read_.is_streamed, read_.includes_usage) == (
        MODEL,
        None,
        False,
        False,
    )
    assert (plain(read_.chat.messages), read_.chat.extras) == ([HI], {})


def test_a_null_counts_as_absent() -> None:
    names = (field.name for field in msgspec.structs.fields(CompletionBody) if field.name != "messages")
    nulls = dict.fromkeys((*names, "user", "metadata"))
    message = {**HI, "name": None, "tool_calls": None, "tool_call_id": None, "refusal": None, "audio": None}
    assert read({"messages": [message], **nulls}) == read({"messages": [HI]})
    nested = {"stream_options": {"include_usage": None}, "reasoning": {"effort": None}}
    assert read({"messages": [HI], **nested}) == read({"messages": [HI]})


@pytest.mark.parametrize(
    ("sent", "got"),
    [
        ({"role": "developer", "content": "Be brief."}, {"role": "system", "content": "Be brief."}),
        ({"role": "user", "content": None}, {"role": "user", "content": ""}),
        ({"role": "assistant"}, {"role": "assistant", "content": ""}),
        ({**HI, "name": "alice"}, HI),
        ({**HI, "reasoning": "hm", "tool_calls": []}, HI),
        (
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "a"},
                    {"type": "image_url", "image_url": {"url": f"data:image/gif;base64,{TINY_GIF}"}},
                ],
            },
            {"role": "user", "content": "a", "images": [TINY_GIF]},
        ),
        (
            {"role": "assistant", "content": "yes", "reasoning_content": "hm"},
            {"role": "assistant", "content": "yes", "thinking": "hm"},
        ),
        (
            {"role": "assistant", "content": "yes", "reasoning": "hm", "reasoning_content": "HM"},
            {"role": "assistant", "content": "yes", "thinking": "hm"},
        ),
        (
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}], "refusal": None},
            {"role": "assistant", "content": "No."},
        ),
    ],
)
def test_a_message_is_read_as_ollamas(sent: dict[str, Any], got: dict[str, Any]) -> None:
    assert messages_of(sent) == [got]


def test_a_tools_answer_gets_the_name_of_the_tool() -> None:
    other = {**CALL, "id": "call_2", "function": {"name": "time", "arguments": "{}"}}
    asked = {"role": "assistant", "content": None, "tool_calls": [CALL, other]}
    answers = [{"role": "tool", "tool_call_id": f"call_{number}", "content": "1"} for number in (2, 1, 3)]
    named = {"role": "tool", "tool_call_id": "call_1", "content": "1", "name": "own"}
    assert messages_of(HI, asked, *answers, named)[1:] == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"id": "call_1", "function": {"name": "weather", "arguments": {"city": "北京"}}},
                {"id": "call_2", "function": {"name": "time", "arguments": {}}},
            ],
        },
        {"role": "tool", "content": "1", "tool_name": "time", "tool_call_id": "call_2"},
        {"role": "tool", "content": "1", "tool_name": "weather", "tool_call_id": "call_1"},
        {"role": "tool", "content": "1", "tool_call_id": "call_3"},
        {"role": "tool", "content": "1", "tool_name": "own", "tool_call_id": "call_1"},
    ]


@pytest.mark.parametrize("arguments", [None, "", " \n", "null"])
def test_a_call_without_arguments_has_none(arguments: str | None) -> None:
    call = {"function": {"name": "now", "arguments": arguments}}
    assert messages_of({"role": "assistant", "tool_calls": [call]})[0]["tool_calls"] == [
        {"function": {"name": "now", "arguments": {}}}
    ]


@pytest.mark.parametrize(
    ("fields", "extras"),
    [
        ({"temperature": 0.5, "top_p": 1, "seed": 7}, {"options": {"temperature": 0.5, "top_p": 1, "seed": 7}}),
        (
            {"frequency_penalty": -1.5, "presence_penalty": 2},
            {"options": {"frequency_penalty": -1.5, "presence_penalty": 2}},
        ),
        ({"max_tokens": 5}, {"options": {"num_predict": 5}}),
        ({"max_completion_tokens": 6, "max_tokens": 5}, {"options": {"num_predict": 6}}),
        ({"max_tokens": 5.0}, {"options": {"num_predict": 5}}),
        ({"stop": "春"}, {"options": {"stop": ["春"]}}),
        ({"stop": ["a", "b"]}, {"options": {"stop": ["a", "b"]}}),
        ({"reasoning_effort": "none"}, {"think": False}),
        ({"reasoning_effort": "minimal"}, {"think": "low"}),
        ({"reasoning_effort": "low"}, {"think": "low"}),
        ({"reasoning_effort": "medium"}, {"think": "medium"}),
        ({"reasoning": {"effort": "high"}, "reasoning_effort": "low"}, {"think": "high"}),
        ({"reasoning": {"summary": "auto"}, "reasoning_effort": "low"}, {"think": "low"}),
        ({"reasoning_effort": "xhigh"}, {"think": "high"}),
        ({"reasoning_effort": "ultra"}, {"think": "high"}),
        ({"response_format": {"type": "text"}}, {}),
        ({"response_format": {"type": "json_object"}}, {"format": "json"}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}},
            {"format": {"type": "object"}},
        ),
        ({"tools": [TOOL]}, {"tools": [TOOL]}),
        ({"tools": [TOOL], "tool_choice": "auto"}, {"tools": [TOOL]}),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "weather"}}}, {"tools": [TOOL]}),
        ({"tools": [TOOL], "tool_choice": "none"}, {}),
        ({"keep_alive": "5m"}, {"keep_alive": "5m"}),
        ({"user": "x", "logit_bias": {"1": 2}, "n": 1, "store": True, "modalities": ["text"]}, {}),
    ],
)
def test_a_field_is_what_it_is_to_ollama(fields: dict[str, Any], extras: dict[str, Any]) -> None:
    assert extras_of(**fields) == extras


def test_how_the_answer_is_sent() -> None:
    asked = read({"messages": [HI], "model": "m", "stream": True, "stream_options": {"include_usage": True}}, "s-1")
    assert (asked.is_streamed, asked.includes_usage, asked.chat.model, asked.chat.session_id) == (
        True,
        True,
        "m",
        "s-1",
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"messages": None}, "messages: expected a list of at least one message, got null"),
        ({"messages": []}, "messages: expected a list of at least one message, got none"),
        ({"messages": {}}, "messages: expected a list of at least one message, got object"),
        ({"messages": ["hi"]}, 'messages[0]: expected an object like {"role": "user", "content": "…"}, got str'),
        ({"stream": "yes"}, "stream: expected true or false, got str"),
        ({"stream_options": True}, "stream_options: expected an object, got bool"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage: expected true or false, got int"),
        ({"model": 5}, "model: expected a text, got int"),
        ({"n": 2}, "n: expected 1, since Ollama makes one answer at a time, got more"),
        ({"n": 0}, "n: expected 1, since Ollama makes one answer at a time, got less"),
        ({"n": "1"}, "n: expected 1, since Ollama makes one answer at a time, got str"),
        ({"temperature": "hot"}, "temperature: expected a number, got str"),
        ({"seed": 1.5}, "seed: expected an integer, got float"),
        ({"max_tokens": "many"}, "max_tokens: expected an integer, got str"),
        ({"stop": 5}, "stop: expected a list of at most 64 texts, got int"),
        ({"stop": ["a", 5]}, "stop: expected a list of at most 64 texts, got array"),
        ({"stop": "x" * 5000}, "stop: expected at most 4096 bytes, got 5002"),
        ({"tool_choice": 5}, "tool_choice: expected a text or an object, got int"),
        ({"tools": {}}, "tools: expected a list of objects, got object"),
        ({"tools": ["x"]}, "tools[0]: expected `object`, got `str`"),
        ({"response_format": "json"}, "response_format: expected an object with a type, got str"),
        (
            {"response_format": {"type": "xml"}},
            'response_format.type: expected "text", "json_object" or "json_schema", got "xml"',
        ),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema: expected an object with a schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
            "response_format.json_schema.schema: expected a JSON schema",
        ),
        (
            {"reasoning_effort": "extreme"},
            f'reasoning_effort: expected {EFFORTS}, got "extreme"',
        ),
        (
            {"reasoning": {"effort": "extreme"}},
            f'reasoning.effort: expected {EFFORTS}, got "extreme"',
        ),
        ({"reasoning": "high"}, 'reasoning: expected an object like {"effort": "low"}, got str'),
        ({"keep_alive": []}, 'keep_alive: expected a duration like "5m", or seconds, got array'),
    ],
)
def test_a_mistake_in_a_field_is_named(fields: dict[str, Any], message: str) -> None:
    assert mistake_in({"messages": [HI], **fields}) == message


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({}, '.role: expected "system", "developer", "user", "assistant" or "tool"'),
        ({"role": "king"}, '.role: expected "system", "developer", "user", "assistant" or "tool", got "king"'),
        (
            {"role": "function", "name": "f", "content": "1"},
            '.role: expected "system", "developer", "user", "assistant" or "tool", got "function"; '
            "a tool's answer has the role tool",
        ),
        ({"role": "user", "content": 5}, ".content: expected a text, null, or a list of parts, got int"),
        (
            {"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]},
            '.content[0].type: expected "text", "image_url" or "refusal", got "input_audio"',
        ),
        ({"role": "assistant", "reasoning": 5}, ".reasoning: expected a text, got int"),
        ({"role": "assistant", "tool_calls": "f"}, ".tool_calls: expected a list of calls, got str"),
        (
            {"role": "assistant", "tool_calls": [{**CALL, "type": "custom"}]},
            '.tool_calls[0].type: expected "function", got "custom"',
        ),
        (
            {"role": "assistant", "tool_calls": [{"id": "x"}]},
            '.tool_calls[0].function: expected an object like {"name": "…", "arguments": "{}"}',
        ),
        (
            {"role": "assistant", "tool_calls": [CALL, {"function": {"arguments": "{}"}}]},
            ".tool_calls[1].function.name: expected a text",
        ),
        ({"role": "tool", "tool_call_id": 5}, ".tool_call_id: expected the id of a call, a text, got int"),
    ],
)
def test_a_mistake_in_a_message_is_named_by_its_path(message: dict[str, Any], words: str) -> None:
    assert mistake_in({"messages": [HI, message]}) == f"messages[1]{words}"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"a": 1}, "expected a JSON object as a text, got object"),
        ("[1]", "expected a JSON object"),
        ("5", "expected a JSON object"),
        ("{", "expected JSON in UTF-8, got something else (Input data was truncated)"),
        ("{'a': 1}", "expected JSON in UTF-8, got something else"),
        ('{"a":' * 101 + "1" + "}" * 101, "expected JSON, got one that is nested too deeply"),
        ('{"a":1,"a":2}', "expected each name once in an object, got one twice"),
        ('{"a":[' + "0," * 70_000 + "0]}", "expected at most 65536 members and items, got more"),
    ],
)
def test_arguments_that_are_no_object_are_refused_with_their_path(arguments: Any, words: str) -> None:
    call = {"id": "x", "function": {"name": "f", "arguments": arguments}}
    message = mistake_in({"messages": [HI, {"role": "assistant", "tool_calls": [CALL, call]}]})
    assert message.startswith(f"messages[1].tool_calls[1].function.arguments: {words}")


def test_long_texts_stay_as_they_were_sent() -> None:
    body = {
        "messages": [
            {"role": "system", "content": LONG},
            {"role": "user", "content": [{"type": "text", "text": LONG}, {"type": "text", "text": LONG}]},
            {"role": "assistant", "content": LONG, "reasoning": LONG},
        ],
        "response_format": {"type": "json_schema", "json_schema": {"schema": {"title": LONG}}},
        "tools": [{"title": LONG}],
    }
    chat = read(body).chat
    system, user, assistant = chat.messages or ()
    for kept in (
        system.content,
        user.content,
        assistant.content,
        assistant.thinking,
        chat.extras["format"],
        chat.extras["tools"],
    ):
        assert isinstance(kept, Raw)
    assert plain(user.content) == f"{LONG}\n\n{LONG}"
    assert plain(chat.extras["format"]) == {"title": LONG}


@given(st.text('a\\"\n\t 春🙂\x00\u2028é', max_size=60), st.integers(12, 40), st.booleans())
def test_a_text_comes_out_of_its_quotes_whole_wherever_it_is_cut(text: str, window: int, is_ascii: bool) -> None:
    quoted = Raw(json.dumps(text, ensure_ascii=is_ascii).encode())
    assert unquoted(quoted, window).decode() == text


@given(
    st.dictionaries(
        st.sampled_from(["messages", "stop", "n", "stream_options", "response_format", "tools", "reasoning"]), anything
    )
)
def test_any_body_is_read_or_refused(body: dict[str, Any]) -> None:
    with suppress(BadRequest):
        read({"messages": [HI], **body})


@given(anything, anything, st.sampled_from(["system", "user", "assistant", "tool"]))
def test_any_message_is_read_or_refused(content: Any, calls: Any, role: str) -> None:
    with suppress(BadRequest):
        read({"messages": [{"role": role, "content": content, "tool_calls": calls}]})
