"""The body of `POST /v1/embeddings` read as a request to Ollama, and Ollama's answer written as OpenAI's.

Texts stay their JSON, and so do numbers; for base64 they are decoded one embedding at a time.
Source: OpenAI API reference, "Create embeddings"; Ollama docs/api.md, "Generate Embeddings".
"""

from __future__ import annotations

import binascii
import sys
from array import array
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta, Raw

from clawgate.errors import UpstreamError
from clawgate.web.door import shapes
from clawgate.web.door.reading import Members, kind_of
from clawgate.web.door.responses import one_line
from clawgate.web.door.shapes import Fields, Shape

TEXTS = "a text, or a list of at least one text"
EXPECTED = {
    "input": TEXTS,
    "input[]": "a text",
    "model": "a text",
    "encoding_format": '"float" or "base64"',
    "dimensions": "an integer of at least 1",
    "keep_alive": 'a duration like "5m", or seconds',
}
"""The words for what a field should have been, in a refusal."""
UNREADABLE = "Ollama's embeddings cannot be read"
MAX_ROWS = 1 << 16
"""A body has no more texts; twenty million empty embeddings held all threads up for half a minute."""
MAX_ROW_BYTES = 1 << 20
"""The JSON of one embedding; 8,192 numbers take some 160 KiB. Decoded, each takes 32 bytes."""


class EmbeddingBody(msgspec.Struct, frozen=True, kw_only=True):
    """The body of POST /v1/embeddings: OpenAI's fields, and Ollama's `keep_alive`."""

    input: str | Annotated[list[str], Meta(min_length=1)]
    model: str | None = None
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    keep_alive: str | int | float | None = None


class EmbeddingRequest(NamedTuple):
    """A checked request: the body for Ollama, and how the numbers are written."""

    model: str
    body: bytes
    is_base64: bool


def read_embedding(given: Members, model_name: str) -> EmbeddingRequest:
    """Check a body.

    model_name: the model that answers where the body names none.

    Errors: BadRequest.
    """
    body = _BODY.read(given, "", Fields(EXPECTED))
    model = body.get("model", model_name)
    asked: dict[str, Any] = {"model": model, "input": body["input"]}
    asked |= {name: body[name] for name in ("dimensions", "keep_alive") if name in body}
    return EmbeddingRequest(model, msgspec.json.encode(asked), body.get("encoding_format") == "base64")


def write_embeddings(answer: bytes, request: EmbeddingRequest) -> bytes:
    """Write Ollama's answer as an `EmbeddingList`.

    Errors: UpstreamError.
    """
    try:
        if answer.count(b"[") > MAX_ROWS + 1:
            raise UpstreamError(UNREADABLE)
        given = msgspec.json.decode(answer, type=_Embedded)
        rows = [_base64(row) for row in given.embeddings] if request.is_base64 else given.embeddings
    except (msgspec.DecodeError, UnicodeDecodeError, OverflowError) as error:
        raise UpstreamError(UNREADABLE) from error
    pieces: list[bytes | Raw] = [b'{"object":"list","data":[']
    for index, row in enumerate(rows):
        pieces += (b"," * (index > 0), b'{"object":"embedding","embedding":', row, b',"index":%d}' % index)
    tokens = given.prompt_eval_count or 0
    usage = b'{"prompt_tokens":%d,"total_tokens":%d}' % (tokens, tokens)
    pieces.append(b'],"model":%b,"usage":%b}\n' % (one_line(request.model), usage))
    return b"".join(map(memoryview, pieces))


class _Embedded(msgspec.Struct, frozen=True):
    """Ollama's answer."""

    embeddings: list[Raw]
    prompt_eval_count: int | None = None


def _base64(row: Raw) -> bytes:
    if len(row) > MAX_ROW_BYTES:
        raise UpstreamError(UNREADABLE)
    numbers = array("f", msgspec.json.decode(row, type=list[float]))
    if sys.byteorder == "big":
        numbers.byteswap()
    return b'"%b"' % binascii.b2a_base64(numbers, newline=False)


def _input(value: Raw, path: str, fields: Fields) -> Raw:
    """Read texts as a list: Ollama takes an empty text for none at all, and in a list for what it is."""
    if kind_of(value) == "str":
        return Raw(b"".join((b"[", memoryview(value), b"]")))
    texts = shapes.items(value, path, fields)
    if not texts:
        raise fields.wrong(path, "none")
    for index, each in enumerate(texts):
        kind = kind_of(each)
        if kind != "str":
            is_token = kind in ("int", "array")
            cure = " (tokens are another model's: send the text itself)" if is_token else ""
            raise fields.wrong(f"{path}[{index}]", kind + cure)
    return value.copy()


def _dimensions(value: Raw, path: str, fields: Fields) -> int:
    number: float = _read_number(value, path, fields)
    if number < 1 or not number.is_integer():
        raise fields.wrong(path, kind_of(value) if number >= 1 else "less")
    return int(number)


_read_number = shapes.short(float)
_BODY = Shape(EmbeddingBody, input=_input, dimensions=_dimensions)
