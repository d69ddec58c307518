"""The head of a GGUF file: what weights say about themselves. weights.py asks, before the engine sees the file.

Only the keys before the tokenizer are read (the vocabulary follows and is long), so that it takes under a millisecond.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

Value = str | int | float | bool | None

_MAGIC = b"GGUF"
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MAX_TEXT_BYTES = 1 << 20
_FILE_TYPES = {0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S"} | {
    12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 32: "BF16"
}  # fmt: skip


class NotGguf(ValueError):
    """The file is not a GGUF file, or its head does not parse."""


def read_facts(path: Path) -> dict[str, Value]:
    """Read the scalar keys before the tokenizer's.

    Errors: NotGguf; OSError where the file cannot be read.
    Source: ggml docs/gguf.md, versions 2 and 3.
    """
    with path.open("rb") as file:
        if file.read(4) != _MAGIC:
            raise NotGguf(f"{path} is not a GGUF file")
        try:
            _version, _tensors, keys = _unpack(file, "IQQ")
            return _facts(file, keys)
        except (struct.error, UnicodeDecodeError, KeyError) as error:
            raise NotGguf(f"{path}: the head of the GGUF file does not parse") from error


def quantization(facts: dict[str, Value]) -> str:
    """Name the file's quantization as Ollama does; `unknown` where the number means nothing to us."""
    number = facts.get("general.file_type")
    return _FILE_TYPES.get(number, "unknown") if isinstance(number, int) else "unknown"


def _facts(file: BinaryIO, keys: int) -> dict[str, Value]:
    facts: dict[str, Value] = {}
    for _ in range(keys):
        key = _text(file)
        if key.startswith("tokenizer."):
            break
        (kind,) = _unpack(file, "I")
        facts[key] = _value(file, kind)
    return facts


def _value(file: BinaryIO, kind: int) -> Value:
    if kind == _STRING:
        return _text(file)
    if kind == _ARRAY:
        inner, count = _unpack(file, "IQ")
        for _ in range(count):
            _value(file, inner)
        return None
    value: Value = _unpack(file, _SCALARS[kind])[0]
    return value


def _text(file: BinaryIO) -> str:
    (length,) = _unpack(file, "Q")
    if length > _MAX_TEXT_BYTES:
        raise struct.error("a string longer than the head of any model")
    return file.read(length).decode()


def _unpack(file: BinaryIO, layout: str) -> tuple[int, ...]:
    whole = struct.Struct("<" + layout)
    return whole.unpack(file.read(whole.size))
