"""Model files that hold nothing but their head."""

from __future__ import annotations

import struct
from pathlib import Path


def gguf(path: Path, **texts: str) -> Path:
    """Write the head of a model file."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    keys = {**{name.replace("__", "."): value for name, value in texts.items()}, "tokenizer.ggml.model": "gpt2"}
    body = b"".join(text(key) + struct.pack("<I", 8) + text(value) for key, value in keys.items())
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, len(keys)) + body)
    return path
