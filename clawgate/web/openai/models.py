"""The models of `GET /v1/models`, made of Ollama's list: those that a request may name, and that Ollama has.

Source: OpenAI API reference, "Models"; Ollama docs/api.md, "List local models", and openai/openai.go, ToListCompletion.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from clawgate.errors import ModelNotFound, UpstreamError
from clawgate.ollama.silence import full_name
from clawgate.web.door.allowed import AllowedModels
from clawgate.web.openai.answers import ListedModel, ModelList

LIBRARY = "library"
"""Whose models those without a namespace are."""
UNREADABLE = "Ollama's list of models cannot be read"


def model_list(tags: bytes, allowed: AllowedModels) -> ModelList:
    """Make the list of Ollama's answer to `GET /api/tags`; the configured model comes first.

    Errors: UpstreamError.
    """
    return ModelList("list", tuple(_models(tags, allowed).values()))


def one_model(tags: bytes, allowed: AllowedModels, name: str) -> ListedModel:
    """Return the model of that name.

    Errors: ModelNotFound, also for a model that no request may name; UpstreamError.
    """
    model = _models(tags, allowed).get(full_name(name))
    if model is None:
        raise ModelNotFound("model: expected one of those that GET /v1/models lists")
    return model


class _Tag(msgspec.Struct, frozen=True):
    """A model in Ollama's list."""

    name: str = ""
    modified_at: str | None = None


class _Tags(msgspec.Struct, frozen=True):
    models: list[_Tag] | None = None


def _models(tags: bytes, allowed: AllowedModels) -> dict[str, ListedModel]:
    """Return the models by their full names, in the order of the configuration."""
    try:
        listed = msgspec.json.decode(tags, type=_Tags).models or ()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UpstreamError(UNREADABLE) from error
    had = {full_name(tag.name): tag for tag in listed}
    wanted = map(full_name, allowed.names)
    return {name: _listed(had[name]) for name in wanted if name in had}


def _listed(tag: _Tag) -> ListedModel:
    return ListedModel(tag.name, "model", _seconds(tag.modified_at), namespace_of(tag.name))


def _seconds(modified_at: str | None) -> int:
    try:
        return max(0, int(msgspec.convert(modified_at, datetime).timestamp()))
    except (msgspec.ValidationError, ValueError, OverflowError):
        return 0


def namespace_of(name: str) -> str:
    """Return whose model it is: `library`, or what stands before the model's own name, as in `hf.co/who/model`."""
    return name.rpartition("/")[0].rpartition("/")[2] or LIBRARY
