"""The body of `POST /v1/responses`: what each field becomes for Ollama, and the words for what is wrong."""

from __future__ import annotations

import json
import time
import tracemalloc
from typing import Any

import pytest

from clawgate.errors import BadRequest
from clawgate.relay.prompt import ChatRequest
from clawgate.web.door.reading import parse_object
from clawgate.web.openai.responses_requests import Read, read_response
from clawgate.web.openai.responses_whole import Settings
from tests.support.pictures import TINY_GIF, photo
from tests.unit.web.bodies import LONG, MODEL, plain

PICTURE = {"type": "input_image", "detail": "auto", "image_url": f"data:image/gif;base64,{TINY_GIF}"}
QUESTION = {"role": "user", "content": "hi"}
SCHEMA = {"type": "object", "properties": {"ort": {"type": "string"}}}


def read(body: dict[str, Any], session_id: str | None = None) -> Read:
    return read_response(parse_object(json.dumps(body).encode()), MODEL, session_id)


def chat_of(**fields: Any) -> ChatRequest:
    return read({"input": "hi", **fields}).chat


def messages_of(*items: dict[str, Any], **fields: Any) -> Any:
    """Return the messages for Ollama that these items become, as JSON."""
    return plain(chat_of(input=list(items), **fields).messages)


def mistake_in(fields: dict[str, Any]) -> str:
    with pytest.raises(BadRequest) as caught:
        read({"input": "hi", **fields})
    assert "\n" not in caught.value.message
    return caught.value.message


def call(call_id: str, name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    return {"type": "function_call", "id": "fc_1", "call_id": call_id, "name": name, "arguments": arguments}


def output(call_id: str, given: Any = "5") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": given}


def reasoning(text: str) -> dict[str, Any]:
    return {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": text}]}


def test_a_text_is_one_question_that_is_not_kept() -> None:
    chat, is_streamed, settings = read({"input": "hi"})
    assert (chat.model, chat.session_id, chat.is_kept, is_streamed) == (MODEL, None, False, False)
    assert plain(chat.messages) == [QUESTION]
    assert chat.extras == {}
    assert settings == Settings(model=MODEL)


def test_a_session_that_is_named_is_kept() -> None:
    chat, is_streamed, _ = read({"input": "hi", "stream": True, "model": "m", "session_id": "s-1"}, "s-1")
    assert (chat.model, chat.session_id, chat.is_kept, is_streamed) == ("m", "s-1", True, True)


def test_instructions_come_first() -> None:
    question = {"type": "message", "role": "user", "content": "hi"}
    assert messages_of(question, instructions="春") == [{"role": "system", "content": "春"}, QUESTION]
    assert messages_of(question, instructions="") == messages_of(question, instructions=None) == [QUESTION]


def test_roles_and_parts_become_messages() -> None:
    parts = [{"type": "input_text", "text": "a"}, PICTURE, {"type": "input_text", "text": "b"}]
    said = [{"type": "output_text", "text": "c", "annotations": []}, {"type": "refusal", "refusal": "no"}]
    assert messages_of(
        {"role": "developer", "content": "d"},
        {"role": "user", "content": parts},
        {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": said},
    ) == [
        {"role": "system", "content": "d"},
        {"role": "user", "content": "a\n\nb", "images": [TINY_GIF]},
        {"role": "assistant", "content": "c\n\nno"},
    ]


def test_what_the_model_did_in_a_turn_is_one_message() -> None:
    items = [
        QUESTION,
        reasoning("hm"),
        {"role": "assistant", "content": "let me see"},
        call("c1", "wetter", '{"ort": "K\\u00f6ln"}'),
        call("c2", "g", ""),
        output("c1", [{"type": "input_text", "text": "Regen"}, PICTURE]),
        output("c2"),
        reasoning("so"),
        {"role": "assistant", "content": "nass"},
        {"role": "assistant", "content": "und kalt"},
        {"role": "user", "content": "danke"},
    ]
    assert messages_of(*items) == [
        QUESTION,
        {
            "role": "assistant",
            "content": "let me see",
            "thinking": "hm",
            "tool_calls": [
                {"id": "c1", "function": {"name": "wetter", "arguments": {"ort": "Köln"}}},
                {"id": "c2", "function": {"name": "g", "arguments": {}}},
            ],
        },
        {"role": "tool", "content": "Regen", "images": [TINY_GIF], "tool_name": "wetter", "tool_call_id": "c1"},
        {"role": "tool", "content": "5", "tool_name": "g", "tool_call_id": "c2"},
        {"role": "assistant", "content": "nass", "thinking": "so"},
        {"role": "assistant", "content": "und kalt"},
        {"role": "user", "content": "danke"},
    ]


def test_a_message_between_a_call_and_its_output_belongs_to_the_call() -> None:
    items = [call("c1"), {"role": "assistant", "content": "wait"}, output("c1")]
    assert [message["role"] for message in messages_of(*items)] == ["assistant", "tool"]


def test_thinking_that_nothing_follows_is_left_out() -> None:
    content = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "raw"}]}
    assert messages_of(reasoning("a"), QUESTION, content, {"role": "assistant", "content": "b"}, reasoning("c")) == [
        QUESTION,
        {"role": "assistant", "content": "b", "thinking": "raw"},
    ]
    assert messages_of(reasoning("a")) == [{"role": "user", "content": ""}], "no message at all would load the model"


def test_options_format_and_thinking_have_ollamas_names() -> None:
    chat, _, settings = read(
        {
            "input": "hi",
            "temperature": 0.5,
            "top_p": 0.9,
            "max_output_tokens": 64.0,
            "reasoning": {"effort": "minimal", "summary": "auto"},
            "text": {"format": {"type": "json_schema", "name": "n", "strict": True, "schema": SCHEMA}},
        }
    )
    assert plain(chat.extras) == {
        "think": "low",
        "options": {"temperature": 0.5, "top_p": 0.9, "num_predict": 64},
        "format": SCHEMA,
    }
    assert settings == Settings(
        model=MODEL, format="json_schema", effort="minimal", temperature=0.5, top_p=0.9, max_output_tokens=64
    )


@pytest.mark.parametrize(
    ("fields", "extras"),
    [
        ({"reasoning": {"effort": "none"}}, {"think": False}),
        ({"reasoning": {"effort": "xhigh"}}, {"think": "high"}),
        ({"reasoning": {"effort": "ultra"}}, {"think": "high"}),
        ({"reasoning": {"effort": None}}, {}),
        ({"reasoning": None, "text": None, "tools": None, "temperature": None}, {}),
        ({"text": {"format": {"type": "text"}, "verbosity": "low"}}, {}),
        ({"text": {"format": {"type": "json_object"}}}, {"format": "json"}),
        ({"text": {"format": {"type": "json_schema", "schema": {}}}}, {"format": {}}),
        ({"store": True, "include": ["reasoning.encrypted_content"], "truncation": "auto", "background": False}, {}),
        ({"previous_response_id": None, "conversation": None, "prompt": None, "tools": []}, {}),
    ],
)
def test_a_field_becomes_this(fields: dict[str, Any], extras: dict[str, Any]) -> None:
    assert plain(chat_of(**fields).extras) == extras


def test_tools_are_written_as_ollama_has_them() -> None:
    tools = [
        {"type": "function", "name": "wetter", "description": "Das Wetter", "parameters": SCHEMA, "strict": True},
        {"type": "function", "name": "f", "description": None, "parameters": None, "strict": None},
    ]
    chat, _, settings = read({"input": "hi", "tools": tools, "tool_choice": {"type": "function", "name": "f"}})
    assert plain(chat.extras["tools"]) == [
        {"type": "function", "function": {"name": "wetter", "description": "Das Wetter", "parameters": SCHEMA}},
        {"type": "function", "function": {"name": "f"}},
    ]
    assert settings.tool_choice == "auto"
    chat, _, settings = read({"input": "hi", "tools": tools, "tool_choice": "none"})
    assert (chat.extras, settings.tool_choice) == ({}, "none")


def test_tools_of_other_kinds_are_left_out_beside_functions() -> None:
    others = [{"type": "web_search", "external_web_access": False}, {"type": "custom", "name": "apply_patch"}]
    mine = {"type": "function", "name": "f"}
    tools = [*others, mine, {"type": "namespace", "name": "mcp__a__", "tools": [mine, *others]}]
    chat, _, settings = read({"input": "hi", "tools": tools})
    assert [tool["function"] for tool in plain(chat.extras["tools"])] == [{"name": "f"}, {"name": "mcp__a__f"}]
    assert settings.qualified == {"mcp__a__f": ("mcp__a__", "f")}


def test_a_call_in_a_namespace_has_one_name_for_the_model() -> None:
    calls = [{**call("c1"), "namespace": "geo"}, {**call("c2"), "namespace": None}]
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}
    messages = messages_of(QUESTION, *calls, search, output("c1"), output("c2"))
    assert [each["function"]["name"] for each in messages[1]["tool_calls"]] == ["geo__f", "f"]
    assert [message["tool_name"] for message in messages[2:]] == ["geo__f", "f"]


KINDS = '"message", "function_call", "function_call_output", "reasoning" or "web_search_call"'
PARTS = '"input_text", "output_text", "refusal" or "input_image"'


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"input": None}, "input: expected a text or a list of at least one item, got null"),
        ({"input": []}, "input: expected a text or a list of at least one item"),
        ({"input": ["hi"]}, 'input[0]: expected an item like {"role": "user", "content": "…"}, got str'),
        ({"input": [{}]}, f"input[0].type: expected {KINDS}, got nothing"),
        ({"input": [QUESTION, {"type": "item_reference"}]}, f'input[1].type: expected {KINDS}, got "item_reference"'),
        (
            {"input": [{"role": "tool", "content": "a"}]},
            'input[0].role: expected "user", "assistant", "system" or "developer", got "tool"',
        ),
        ({"input": [{"role": "user"}]}, "input[0].content: expected a text or a list of parts"),
        (
            {"input": [{"role": "user", "content": None}]},
            "input[0].content: expected a text or a list of parts, got null",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
            f'input[0].content[0].type: expected {PARTS}, got "input_file"',
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "input[0].content[0].image_url: expected a picture as an address like data:image/png;base64,…",
        ),
        ({"input": [call("")]}, "input[0].call_id: expected a text, got an empty one"),
        (
            {"input": [call("c", arguments="[]")]},
            "input[0].arguments: expected a JSON object",
        ),
        (
            {"input": [{**call("c"), "arguments": {}}]},
            "input[0].arguments: expected a JSON object as a text, got object",
        ),
        ({"input": [output("c", None)]}, "input[0].output: expected a text or a list of parts, got null"),
        (
            {"input": [{"type": "reasoning", "summary": "hm"}]},
            "input[0].summary: expected a list of parts, got str",
        ),
        ({"instructions": ["a"]}, "instructions: expected a text, got array"),
        ({"temperature": "warm"}, "temperature: expected a number, got str"),
        ({"max_output_tokens": 1.5}, "max_output_tokens: expected an integer, got float"),
        ({"stream": "yes"}, "stream: expected true or false, got str"),
        (
            {"reasoning": {"effort": "much"}},
            'reasoning.effort: expected "none", "minimal", "low", "medium", "high", "xhigh", "ultra" or "max"',
        ),
        (
            {"text": {"format": {"type": "grammar"}}},
            'text.format.type: expected "text", "json_object" or "json_schema", got "grammar"',
        ),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema: expected a JSON schema"),
        (
            {"tools": [{"type": "web_search"}]},
            'tools[0].type: expected "function" (only tools that the client runs are known here), got "web_search"',
        ),
        ({"tools": [{"type": "function"}]}, "tools[0].name: expected a text"),
        ({"tools": [{"type": "namespace", "name": "a"}]}, "tools[0].tools: expected a list of functions"),
        (
            {"tools": [{"type": "namespace", "name": "a", "tools": [{"type": "function", "name": ""}]}]},
            "tools[0].tools[0].name: expected a text, got an empty one",
        ),
        ({"input": [{**call("c"), "namespace": 1}]}, "input[0].namespace: expected a text, got int"),
        (
            {"tools": [{"type": "function", "name": "f", "parameters": []}]},
            "tools[0].parameters: expected a JSON schema, got array",
        ),
        ({"tool_choice": 1}, "tool_choice: expected a text or an object, got int"),
        ({"background": True}, "background: expected false: an answer ends with its request"),
    ],
)
def test_a_mistake_is_named_with_its_field(fields: dict[str, Any], words: str) -> None:
    assert mistake_in(fields) == words


@pytest.mark.parametrize("name", ["previous_response_id", "conversation"])
def test_what_another_server_would_keep_is_refused_with_the_cure(name: str) -> None:
    words = mistake_in({name: "resp_1"})
    assert words.startswith(f"{name}: expected none: ")
    assert "X-Session-Id" in words
    assert mistake_in({"prompt": {"id": "p"}}).startswith("prompt: expected none: ")


def test_an_input_is_required() -> None:
    with pytest.raises(BadRequest, match="input: expected a text or a list of at least one item"):
        read({})


def test_a_request_does_not_keep_its_body() -> None:
    """A view of one value would keep all of it; a body that something views cannot be emptied."""
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": LONG}]},
        {"role": "user", "content": [{"type": "input_image", "image_url": photo(30_000)}]},
        reasoning(LONG),
        call(LONG, LONG[:14], json.dumps({"a": LONG})),
        output(LONG, LONG),
    ]
    fields = {
        "input": items,
        "instructions": LONG,
        "tools": [{"type": "function", "name": "f", "description": LONG, "parameters": {"title": LONG}}],
        "text": {"format": {"type": "json_schema", "schema": {"title": LONG}}},
    }
    body = bytearray(json.dumps(fields).encode())
    chat, _, _ = read_response(parse_object(body), MODEL, None)
    body.clear()
    assert chat.messages is not None
    assert [message.role for message in chat.messages] == ["system", "user", "user", "assistant", "tool"]
    assert chat.messages[0].text == chat.messages[1].text == chat.messages[4].text == LONG
    assert not any(isinstance(message.content, str) for message in chat.messages if message.content)


def test_many_items_and_long_texts_cost_what_their_bytes_are() -> None:
    data = json.dumps({"input": [QUESTION, call("c"), output("c")] * 4000}).encode()
    begun = time.process_time()
    chat, _, _ = read_response(parse_object(data), MODEL, None)
    assert time.process_time() - begun < 2
    assert len(chat.messages or ()) == 12_000
    data = json.dumps({"input": "春🙂" * 200_000}, ensure_ascii=False).encode()
    tracemalloc.start()
    try:
        read_response(parse_object(data), MODEL, None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * len(data)
