"""The types of what the room's routes send, but for errors (errors.py) and responses.

The order of the fields is the order on the wire. A field that may be absent has a default.
Source: OpenAI API reference, "The chat completion object", "The chat completion chunk object", "Models", "Embeddings".
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, UnsetType

from clawgate.web.door.ends import How
from clawgate.web.door.responses import Payload
from clawgate.web.openai.errors import OpenAIFailed

Count = Annotated[int, Meta(ge=0)]
FinishReason = Literal["stop", "length", "tool_calls"]
FINGERPRINT = "fp_ollama"
"""What Ollama's own compatibility layer gives as `system_fingerprint`."""


class Usage(Payload, frozen=True):
    """Tokens; 0 where Ollama did not say."""

    prompt_tokens: Count
    completion_tokens: Count
    total_tokens: Count


class Called(Payload, frozen=True):
    """The function that the model calls; `arguments` is the JSON of an object."""

    name: str
    arguments: str


class CallDelta(Payload, frozen=True):
    """A call of a tool, whole; `index` is its place among the answer's calls."""

    index: Count
    id: str
    type: Literal["function"]
    function: Called


class Delta(Payload, frozen=True):
    """What a chunk adds to the message."""

    role: Literal["assistant"] | UnsetType = UNSET
    content: str | UnsetType = UNSET
    reasoning: str | UnsetType = UNSET
    tool_calls: tuple[CallDelta, ...] | UnsetType = UNSET


class ChunkChoice(Payload, frozen=True):
    """The one choice of a chunk."""

    index: Literal[0]
    delta: Delta
    finish_reason: FinishReason | None


class CompletionChunk(Payload, frozen=True, kw_only=True):
    """A piece of a streamed answer; the last one has no choice and the usage, where the request asked for that."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    system_fingerprint: str
    choices: tuple[ChunkChoice, ...]
    usage: Usage | UnsetType | None = UNSET
    clawgate: How | UnsetType = UNSET


END = "[DONE]"
EVENTS = (CompletionChunk, OpenAIFailed, END)
"""What the data of a stream's events may be; the last one's is `END`."""


class MessageCall(Payload, frozen=True):
    """A call of a tool."""

    id: str
    type: Literal["function"]
    function: Called


class AnswerMessage(Payload, frozen=True, kw_only=True):
    """The answer; its content is null where the model called tools and said nothing."""

    role: Literal["assistant"]
    content: str | None
    reasoning: str | UnsetType = UNSET
    tool_calls: tuple[MessageCall, ...] | UnsetType = UNSET


class Choice(Payload, frozen=True):
    """The one choice of an answer."""

    index: Literal[0]
    message: AnswerMessage
    finish_reason: FinishReason


class ChatCompletion(Payload, frozen=True, kw_only=True):
    """A whole answer."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: tuple[Choice, ...]
    usage: Usage
    clawgate: How | UnsetType = UNSET


class ListedModel(Payload, frozen=True):
    """A model that a request may name; `created`, in seconds, is when Ollama's copy was last changed."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(Payload, frozen=True):
    """The models that a request may name, and that Ollama has."""

    object: Literal["list"]
    data: tuple[ListedModel, ...]


class Embedding(Payload, frozen=True):
    """The embedding of one text: numbers, or base64 of their 32-bit floats, the lowest byte first."""

    object: Literal["embedding"]
    embedding: list[float] | str | Raw
    index: Count


class EmbeddingUsage(Payload, frozen=True):
    """Tokens of the texts; 0 where Ollama did not say."""

    prompt_tokens: Count
    total_tokens: Count


class EmbeddingList(Payload, frozen=True):
    """The embeddings of all texts, in their order."""

    object: Literal["list"]
    data: tuple[Embedding, ...]
    model: str
    usage: EmbeddingUsage
