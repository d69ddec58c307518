"""The body of `POST /v1/messages`: what each field becomes for Ollama, and the words for what is wrong."""

from __future__ import annotations

import json
import time
import tracemalloc
from typing import Any

import pytest

from clawgate.errors import BadRequest
from clawgate.relay.prompt import ChatRequest
from clawgate.web.anthropic.requests import Read, read_messages
from clawgate.web.door.reading import parse_object
from tests.support.pictures import TINY_GIF, photo
from tests.unit.web.bodies import LONG, MODEL, plain

ASKED: dict[str, Any] = {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
PICTURE: dict[str, Any] = {"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": TINY_GIF}}
TEXT: dict[str, Any] = {"type": "text", "text": "a"}


def read(body: dict[str, Any], session_id: str | None = None) -> Read:
    return read_messages(parse_object(json.dumps(body).encode()), MODEL, session_id)


def chat_of(**fields: Any) -> ChatRequest:
    return read({**ASKED, **fields}).chat


def messages_of(*turns: dict[str, Any], **fields: Any) -> Any:
    """Return the messages for Ollama, as JSON."""
    return plain(chat_of(messages=list(turns), **fields).messages)


def content_of(*blocks: dict[str, Any], role: str = "user") -> Any:
    """Return the messages that a message of these blocks becomes."""
    return messages_of({"role": role, "content": list(blocks)})


def mistake_in(fields: dict[str, Any]) -> str:
    with pytest.raises(BadRequest) as caught:
        read({**ASKED, **fields})
    assert "\n" not in caught.value.message
    return caught.value.message


def test_a_question_is_one_chat_that_is_not_kept() -> None:
    chat, is_streamed = read(ASKED)
    assert (chat.model, chat.session_id, chat.is_kept, is_streamed) == (MODEL, None, False, False)
    assert plain(chat.messages) == [{"role": "user", "content": "hi"}]
    assert plain(chat.extras) == {"options": {"num_predict": 9}}


def test_a_session_that_is_named_is_kept() -> None:
    chat, is_streamed = read({**ASKED, "stream": True, "model": "m", "session_id": "s-1"}, "s-1")
    assert (chat.model, chat.session_id, chat.is_kept, is_streamed) == ("m", "s-1", True, True)


def test_options_have_ollamas_names() -> None:
    given = {"temperature": 0.5, "top_p": 0.9, "top_k": 40, "stop_sequences": ["END"], "max_tokens": 64.0}
    options = {"num_predict": 64, "temperature": 0.5, "top_p": 0.9, "top_k": 40, "stop": ["END"]}
    assert plain(chat_of(**given).extras) == {"options": options}
    assert chat_of(temperature=None, stop_sequences=None).extras["options"] == {"num_predict": 9}


@pytest.mark.parametrize(
    ("fields", "think"),
    [
        ({}, None),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, True),
        ({"thinking": {"type": "adaptive"}}, True),
        ({"thinking": {"type": "disabled"}}, False),
        ({"output_config": {"effort": "xhigh"}}, "high"),
        ({"output_config": {"effort": "max"}, "thinking": {"type": "adaptive"}}, "max"),
        ({"output_config": {"effort": "low"}, "thinking": {"type": "disabled"}}, False),
        ({"output_config": {"effort": None}, "thinking": None}, None),
        ({"output_config": {"effort": "of another age"}}, None),
    ],
)
def test_thinking_is_what_ollama_calls_think(fields: dict[str, Any], think: bool | str | None) -> None:
    assert chat_of(**fields).extras.get("think") == think


def test_a_schema_is_the_format() -> None:
    schema = {"type": "object", "title": LONG}
    extras = chat_of(output_config={"format": {"type": "json_schema", "schema": schema}}).extras
    assert plain(extras["format"]) == schema


def test_tools_are_written_as_ollama_has_them() -> None:
    schema = {"type": "object", "properties": {"ort": {"type": "string"}}}
    tools = [
        {"name": "wetter", "description": "Das Wetter", "input_schema": schema, "cache_control": {"type": "ephemeral"}},
        {"name": "f", "type": "custom", "description": None, "input_schema": {}},
    ]
    assert plain(chat_of(tools=tools, tool_choice={"type": "any"}).extras["tools"]) == [
        {"type": "function", "function": {"name": "wetter", "description": "Das Wetter", "parameters": schema}},
        {"type": "function", "function": {"name": "f", "parameters": {}}},
    ]
    assert "tools" not in chat_of(tools=tools, tool_choice={"type": "none"}).extras
    assert "tools" not in chat_of(tools=[]).extras


def test_the_system_prompt_comes_first() -> None:
    system = [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "b"}]
    question = {"role": "user", "content": "hi"}
    assert messages_of(question, system="春") == [{"role": "system", "content": "春"}, question]
    assert messages_of(question, system=system) == [{"role": "system", "content": "a\n\nb"}, question]
    assert messages_of(question, system="") == messages_of(question, system=[]) == [question]


def test_texts_and_pictures_are_one_message() -> None:
    blocks = [TEXT, PICTURE, {"type": "text", "text": "春", "citations": None}, PICTURE]
    assert content_of(*blocks) == [{"role": "user", "content": "a\n\n春", "images": [TINY_GIF, TINY_GIF]}]


def test_an_answer_has_its_thinking_and_its_calls() -> None:
    blocks: list[dict[str, Any]] = [
        {"type": "thinking", "thinking": "hm", "signature": ""},
        {"type": "redacted_thinking", "data": "x"},
        TEXT,
        {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
        {"type": "tool_use", "id": "t2", "name": "g", "input": {}},
    ]
    assert content_of(*blocks, role="assistant") == [
        {
            "role": "assistant",
            "content": "a",
            "thinking": "hm",
            "tool_calls": [
                {"id": "t1", "function": {"name": "f", "arguments": {"a": 1}}},
                {"id": "t2", "function": {"name": "g", "arguments": {}}},
            ],
        }
    ]


def test_results_come_before_what_the_user_says_and_know_their_tools() -> None:
    call = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
    results = [
        {"type": "text", "text": "so?"},
        {"type": "tool_result", "tool_use_id": "t1", "content": [TEXT, PICTURE], "is_error": True},
        {"type": "tool_result", "tool_use_id": "unknown"},
    ]
    assert messages_of({"role": "assistant", "content": [call]}, {"role": "user", "content": results})[1:] == [
        {"role": "tool", "content": "a", "images": [TINY_GIF], "tool_name": "f", "tool_call_id": "t1"},
        {"role": "tool", "content": "", "tool_call_id": "unknown"},
        {"role": "user", "content": "so?"},
    ]


def test_what_says_nothing_is_left_out() -> None:
    redacted = {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "x"}]}
    question = {"role": "user", "content": "hi"}
    assert messages_of(redacted, question, {"role": "user", "content": ""}) == [question]
    assert messages_of(redacted) == [{"role": "user", "content": ""}], "no message at all would load the model"


def test_unknown_fields_are_ignored_and_named() -> None:
    chat = chat_of(metadata={"user_id": "u"}, service_tier="auto", context_management={})
    assert chat.ignored == ("metadata", "service_tier", "context_management")


BLOCKS = '"text", "image", "tool_use", "tool_result", "thinking" or "redacted_thinking"'


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"max_tokens": 0}, "max_tokens: expected an integer from 1, got 0"),
        ({"max_tokens": None}, "max_tokens: expected an integer from 1, got null"),
        ({"max_tokens": "9"}, "max_tokens: expected an integer, got str"),
        ({"temperature": "warm"}, "temperature: expected a number, got str"),
        ({"stop_sequences": ["a"] * 65}, "stop_sequences: expected a list of at most 64 texts, got array"),
        ({"stop_sequences": [LONG]}, "stop_sequences: expected at most 4096 bytes, got 72004"),
        ({"messages": []}, "messages: expected a list of at least one message"),
        ({"messages": "hi"}, "messages: expected a list of at least one message, got str"),
        (
            {"messages": [{"role": "tool", "content": ""}]},
            'messages[0].role: expected "user", "assistant" or "system"',
        ),
        ({"messages": [{"role": "user"}]}, "messages[0].content: expected a text or a list of blocks"),
        (
            {"messages": [{"role": "user", "content": None}]},
            "messages[0].content: expected a text or a list of blocks, got null",
        ),
        ({"system": {}}, "system: expected a text or a list of blocks of text, got object"),
        ({"system": [PICTURE]}, 'system[0].type: expected "text", got "image"'),
        ({"model": 1}, "model: expected a text, got int"),
        ({"stream": 1}, "stream: expected true or false, got int"),
        ({"tools": {}}, "tools: expected a list of tools, got object"),
        ({"tools": [{"name": "", "input_schema": {}}]}, "tools[0].name: expected a text, got an empty one"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema: expected a JSON schema"),
        (
            {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
            'tools[0].type: expected "custom" or none: only tools that the client runs are known here',
        ),
        ({"tool_choice": "none"}, 'tool_choice: expected an object like {"type": "auto"}, got str'),
        ({"thinking": True}, 'thinking: expected an object like {"type": "enabled"}, got bool'),
        ({"output_config": {"effort": 1}}, "output_config.effort: expected a text, got int"),
        (
            {"output_config": {"format": {"type": "grammar", "schema": {}}}},
            'output_config.format.type: expected "json_schema"',
        ),
        (
            {"output_config": {"format": {"type": "json_schema"}}},
            "output_config.format.schema: expected a JSON schema",
        ),
    ],
)
def test_a_mistake_is_named_with_its_field(fields: dict[str, Any], words: str) -> None:
    assert mistake_in(fields) == words


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ("a", 'content[0]: expected a block like {"type": "text", "text": "…"}, got str'),
        ({}, f"content[0].type: expected {BLOCKS}, got nothing"),
        ({"type": "document", "source": {}}, f'content[0].type: expected {BLOCKS}, got "document"'),
        ({"type": "text"}, "content[0].text: expected a text"),
        ({"type": "thinking", "thinking": None}, "content[0].thinking: expected a text, got null"),
        ({"type": "tool_use", "id": "", "name": "f", "input": {}}, "content[0].id: expected a text, got an empty one"),
        ({"type": "tool_use", "id": "t", "name": "f"}, "content[0].input: expected an object"),
        ({"type": "tool_result", "content": "a"}, "content[0].tool_use_id: expected a text"),
        (
            {"type": "tool_result", "tool_use_id": "t", "content": None},
            "content[0].content: expected a text or a list of blocks, got null",
        ),
        (
            {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "search_result"}]},
            'content[0].content[0].type: expected "text" or "image", got "search_result"',
        ),
        (
            {"type": "tool_result", "tool_use_id": "t", "is_error": 1},
            "content[0].is_error: expected true or false, got int",
        ),
        ({"type": "image", "source": TINY_GIF}, "content[0].source: expected an object like "),
        (
            {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
            'content[0].source.type: expected "base64" (no address is fetched, and no file is kept: send the picture '
            'itself), got "url"',
        ),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "春"}},
            "content[0].source.data: expected a picture (PNG, JPEG, WebP, …) as base64, got a text that is not base64",
        ),
        (
            {"type": "image", "source": {"type": "base64", "media_type": 1, "data": TINY_GIF}},
            "content[0].source.media_type: expected a text, got int",
        ),
    ],
)
def test_a_mistake_in_a_block_is_named_with_its_place(block: Any, words: str) -> None:
    mistake = mistake_in({"messages": [{"role": "user", "content": [block]}]})
    assert mistake.startswith(f"messages[0].{words}"), mistake


def test_max_tokens_is_required() -> None:
    with pytest.raises(BadRequest, match="max_tokens: expected an integer from 1"):
        read({"messages": ASKED["messages"]})


def test_a_request_does_not_keep_its_body() -> None:
    """A view of one value would keep all of it; a body that something views cannot be emptied."""
    picture = {"type": "image", "source": {"type": "base64", "data": photo(30_000)}}
    turns = [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": LONG[:14], "input": {"a": LONG}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": LONG}, picture]},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": LONG}, {"type": "text", "text": LONG}]},
    ]
    fields = {
        "messages": turns,
        "system": [{"type": "text", "text": LONG}],
        "tools": [{"name": "f", "description": LONG, "input_schema": {"title": LONG}}],
        "output_config": {"format": {"type": "json_schema", "schema": {"title": LONG}}},
    }
    body = bytearray(json.dumps({**ASKED, **fields}).encode())
    chat, _ = read_messages(parse_object(body), MODEL, None)
    body.clear()
    assert chat.messages is not None
    assert [message.role for message in chat.messages] == ["system", "assistant", "tool", "user", "assistant"]
    assert chat.messages[0].text == chat.messages[2].text == chat.messages[4].text == LONG
    assert not any(isinstance(message.content, str) for message in chat.messages if message.content)


def test_many_blocks_and_long_texts_cost_what_their_bytes_are() -> None:
    """Joining block after block would copy the whole text for each; decoding would make four bytes of each."""
    many = {**ASKED, "messages": [{"role": "user", "content": [TEXT] * 20_000}]}
    data = json.dumps(many).encode()
    begun = time.process_time()
    chat, _ = read_messages(parse_object(data), MODEL, None)
    assert time.process_time() - begun < 2
    assert chat.messages is not None
    assert chat.messages[0].text == "\n\n".join(["a"] * 20_000)
    long = {"type": "text", "text": "春🙂" * 100_000}
    data = json.dumps({**ASKED, "messages": [{"role": "user", "content": [long, long]}]}, ensure_ascii=False).encode()
    tracemalloc.start()
    try:
        read_messages(parse_object(data), MODEL, None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * len(data)
