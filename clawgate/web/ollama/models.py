"""The lists of Ollama's models, without those that no request may name: an entry that is refused would be a trap."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from clawgate.errors import UpstreamError
from clawgate.ollama.ndjson import UNREADABLE
from clawgate.web.door.allowed import AllowedModels
from clawgate.web.door.reading import Members


class _Named(msgspec.Struct, frozen=True):
    """An entry; both names are the model's."""

    name: str = ""
    model: str = ""


def only_allowed(body: bytes, allowed: AllowedModels) -> bytes:
    """Return a list of Ollama's, of `/api/tags` or `/api/ps`, with the entries that are allowed, each as it came.

    Errors: UpstreamError where it is no list of models.
    """
    try:
        document = msgspec.json.decode(body, type=Members)
        models = msgspec.json.decode(document["models"], type=list[Raw])
        kept = [each for each in models if _is_allowed(msgspec.json.decode(each, type=_Named), allowed)]
    except (*UNREADABLE, KeyError) as error:
        raise UpstreamError("Ollama's list of models cannot be read") from error
    return msgspec.json.encode({**document, "models": kept})


def _is_allowed(entry: _Named, allowed: AllowedModels) -> bool:
    names = {entry.name, entry.model} - {""}
    return bool(names) and all(map(allowed.has, names))
