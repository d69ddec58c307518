"""Ollama's options, for both who give them: the configuration and a request.

Known ones are checked by type; unknown ones pass while they are few and small, since Ollama adds options with each
version. web/door/options.py reads a request's.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from clawgate.config.checks import WrongPart, expects

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


KNOWN = {field.name: field.type for field in msgspec.structs.fields(Options)}
"""The types of the options that are known, by name."""
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


def checked(name: str, value: Any) -> Any:
    """Check an option. A whole number written as a float (`4096.0`) becomes the integer that it is to Ollama.

    Errors: WrongPart.
    """
    kind = KNOWN.get(name, _UNKNOWN)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    try:
        if isinstance(value, float) and not math.isfinite(value):  # JSON has no such number
            raise ValueError(value)
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, ValueError) as error:
        raise WrongPart(name, _WORDS.get(kind, _UNKNOWN_WORDS), value) from error


@expects("a mapping of Ollama's options, like {num_ctx: 16384}")
def options(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Take the options of the configuration, frozen; a null is none."""
    if len(given) > MAX_OPTIONS:
        raise WrongPart("", f"at most {MAX_OPTIONS} options", len(given))
    return MappingProxyType({name: _frozen(name, value) for name, value in given.items() if value is not None})


def _frozen(name: str, value: Any) -> Any:
    right = checked(name, value)
    size = len(msgspec.json.encode(right))
    if size > MAX_OPTION_BYTES:
        raise WrongPart(name, f"at most {MAX_OPTION_BYTES} bytes", size)
    return tuple(right) if isinstance(right, list) else right


def warnings_of(given: Mapping[str, Any]) -> Iterator[str]:
    """Yield a warning for each option that is not known: it may be new, or misspelt."""
    for name in given:
        if name not in KNOWN:
            near = difflib.get_close_matches(name, KNOWN, n=1)
            hint = f" (is it {near[0]}?)" if near else ""
            yield f"model.options: {ascii(name)[1:-1][:64]} is not known here{hint}; Ollama gets it as it is"
