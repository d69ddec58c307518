"""Embeddings: the request as Ollama takes it, its numbers as OpenAI's clients read them."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import msgspec
import pytest

from clawgate.errors import BadRequest, UpstreamError
from clawgate.web.door.reading import parse_object
from clawgate.web.openai.answers import EmbeddingList
from clawgate.web.openai.embeddings import (
    MAX_ROW_BYTES,
    MAX_ROWS,
    EmbeddingRequest,
    read_embedding,
    write_embeddings,
)

ANSWER = b'{"model":"m","embeddings":[[0.5,-1.25,3e-1],[0,1,2]],"total_duration":7,"prompt_eval_count":8}'


def read(**body: Any) -> EmbeddingRequest:
    """Read a body."""
    return read_embedding(parse_object(json.dumps(body, ensure_ascii=False).encode()), "qwen3:32b")


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        ({"input": "春"}, {"input": ["春"]}),
        ({"input": ""}, {"input": [""]}),
        ({"input": ["a", "春"], "user": "x"}, {"input": ["a", "春"]}),
        ({"input": "a", "dimensions": 5, "keep_alive": "5m"}, {"input": ["a"], "dimensions": 5, "keep_alive": "5m"}),
        ({"input": "a", "dimensions": None, "encoding_format": None, "model": None}, {"input": ["a"]}),
    ],
)
def test_what_ollama_is_asked(body: dict[str, Any], asked: dict[str, Any]) -> None:
    request = read(**body)
    assert json.loads(request.body) == {"model": "qwen3:32b", **asked}
    assert (request.model, request.is_base64) == ("qwen3:32b", False)


def test_a_request_names_its_model_and_the_form_of_numbers() -> None:
    request = read(input="a", model="embed:1b", encoding_format="base64")
    assert (request.model, json.loads(request.body)["model"], request.is_base64) == ("embed:1b", "embed:1b", True)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "input: expected a text, or a list of at least one text"),
        ({"input": None}, "input: expected a text, or a list of at least one text, got null"),
        ({"input": []}, "input: expected a text, or a list of at least one text, got none"),
        ({"input": 5}, "input: expected a text, or a list of at least one text, got int"),
        ({"input": [1, 2]}, "input[0]: expected a text, got int (tokens are another model's: send the text itself)"),
        ({"input": [[1]]}, "input[0]: expected a text, got array (tokens are another model's: send the text itself)"),
        ({"input": ["a", None]}, "input[1]: expected a text, got null"),
        ({"input": "a", "encoding_format": "hex"}, 'encoding_format: expected "float" or "base64"'),
        ({"input": "a", "dimensions": 0}, "dimensions: expected an integer of at least 1, got less"),
        ({"input": "a", "dimensions": "5"}, "dimensions: expected an integer of at least 1, got str"),
    ],
)
def test_a_mistake_is_named(body: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read(**body)
    assert caught.value.message == message


def test_numbers_stay_as_ollama_wrote_them() -> None:
    data = write_embeddings(ANSWER, read(input="a", model='m"'))
    assert data == (
        b'{"object":"list","data":[{"object":"embedding","embedding":[0.5,-1.25,3e-1],"index":0},'
        b'{"object":"embedding","embedding":[0,1,2],"index":1}],"model":"m\\"",'
        b'"usage":{"prompt_tokens":8,"total_tokens":8}}\n'
    )
    msgspec.json.decode(data, type=EmbeddingList)


def test_base64_is_of_32_bit_floats_the_lowest_byte_first() -> None:
    data = write_embeddings(ANSWER, read(input="a", encoding_format="base64"))
    found = [base64.b64decode(each["embedding"]) for each in json.loads(data)["data"]]
    assert found == [struct.pack("<3f", 0.5, -1.25, 0.3), struct.pack("<3f", 0, 1, 2)]
    msgspec.json.decode(data, type=EmbeddingList)


def test_tokens_are_nought_where_ollama_did_not_say() -> None:
    assert json.loads(write_embeddings(b'{"embeddings":[]}', read(input="a"))) == {
        "object": "list",
        "data": [],
        "model": "qwen3:32b",
        "usage": {"prompt_tokens": 0, "total_tokens": 0},
    }


@pytest.mark.parametrize(
    "answer", [b"", b"<html>", b"[]", b"{}", b'{"embeddings":[["a"]]}', b'{"embeddings":5}', b'{"embeddings":["\xff"]}']
)
def test_an_answer_that_is_none_is_ollamas_failure(answer: bytes) -> None:
    with pytest.raises(UpstreamError):
        write_embeddings(answer, read(input="a", encoding_format="base64"))


@pytest.mark.parametrize(
    ("rows", "is_base64"), [(b"[]," * MAX_ROWS + b"[]", False), (b"[%b0]" % (b"0," * (MAX_ROW_BYTES // 2)), True)]
)
def test_more_embeddings_or_numbers_than_any_model_gives_are_not_decoded(rows: bytes, is_base64: bool) -> None:
    with pytest.raises(UpstreamError, match="cannot be read"):
        write_embeddings(b'{"embeddings":[%b]}' % rows, EmbeddingRequest("m", b"", is_base64))
