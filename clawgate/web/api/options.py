"""Ollama's options: known ones are checked by type, unknown ones pass while they are few and small.

requests.py uses it. Ollama adds options with each version, so an unknown name is no mistake.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw

from clawgate.errors import BadRequest
from clawgate.web.door.reading import Members, kind_of

MAX_OPTIONS = 64
"""Twice as many as Ollama knows."""
MAX_ITEMS = 64
MAX_OPTION_BYTES = 1 << 12
Texts = Annotated[list[str], Meta(max_length=MAX_ITEMS)]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Ollama's options that are known here. A null is passed on; Ollama treats it as absent.

    Source: Ollama docs/modelfile.md, "PARAMETER"; api/types.go, Options and Runner.
    """

    num_ctx: int | None = None
    num_predict: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    typical_p: float | None = None
    tfs_z: float | None = None
    repeat_last_n: int | None = None
    repeat_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    penalize_newline: bool | None = None
    mirostat: int | None = None
    mirostat_tau: float | None = None
    mirostat_eta: float | None = None
    seed: int | None = None
    stop: Texts | None = None
    num_keep: int | None = None
    num_batch: int | None = None
    num_gpu: int | None = None
    main_gpu: int | None = None
    num_thread: int | None = None
    draft_num_predict: int | None = None
    numa: bool | None = None
    low_vram: bool | None = None
    f16_kv: bool | None = None
    use_mmap: bool | None = None
    use_mlock: bool | None = None
    logits_all: bool | None = None
    vocab_only: bool | None = None


_KNOWN = {field.name: field.type for field in msgspec.structs.fields(Options)}
_WORDS = {
    bool | None: "true or false",
    int | None: "an integer",
    float | None: "a number",
    Texts | None: f"a list of at most {MAX_ITEMS} texts",
}
_SCALAR = str | float | bool | None
_UNKNOWN = _SCALAR | Annotated[list[_SCALAR], Meta(max_length=MAX_ITEMS)]
_UNKNOWN_WORDS = f"a number, a text, true, false or a list of at most {MAX_ITEMS} of them"
SCHEMA = {"maxProperties": MAX_OPTIONS, "additionalProperties": msgspec.json.schema(_UNKNOWN)}
"""The limits of options that their type does not have."""


def read_options(given: Members, path: str) -> dict[str, Any]:
    """Check options. A whole number written as a float (`4096.0`) becomes the integer that it is to Ollama.

    Errors: BadRequest that names the option.
    """
    if len(given) > MAX_OPTIONS:
        raise BadRequest(f"{path}: expected at most {MAX_OPTIONS} options, got {len(given)}")
    return {name: _option(name, value, f"{path}.{_shown(name)}") for name, value in given.items()}


def _option(name: str, given: Raw, path: str) -> Any:
    if len(given) > MAX_OPTION_BYTES:
        raise BadRequest(f"{path}: expected at most {MAX_OPTION_BYTES} bytes, got {len(given)}")
    kind = _KNOWN.get(name, _UNKNOWN)
    try:
        value = msgspec.json.decode(given)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        return msgspec.convert(value, kind)
    except msgspec.DecodeError as error:
        raise BadRequest(f"{path}: expected {_WORDS.get(kind, _UNKNOWN_WORDS)}, got {kind_of(given)}") from error


def _shown(name: str) -> str:
    """Write any name on one line."""
    return name[:64] if name.isprintable() else ascii(name[:64])[1:-1]
