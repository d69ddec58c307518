"""Pictures as clients send them: real PNGs of any size, and base64 as Ollama decodes it."""

from __future__ import annotations

import base64
import binascii
import random
import re
import struct
import zlib

TINY_GIF = base64.b64encode(b"GIF89a\x01\0\x01\0\0\0\0;").decode()
_WIDTH = 1024


def png(size_bytes: int, seed: int = 0) -> bytes:
    """Return a PNG of noise, like a photo: nothing makes it smaller. It has at least that many bytes."""
    rows = size_bytes // _WIDTH + 1
    chance = random.Random(seed)
    pixels = b"".join(b"\0" + chance.randbytes(_WIDTH) for _ in range(rows))
    head = struct.pack(">IIBBBBB", _WIDTH, rows, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(pixels, 0)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_part(name, data) for name, data in parts)


def photo(base64_bytes: int, seed: int = 0) -> str:
    """Return a PNG in base64 of about that length."""
    return base64.b64encode(png(base64_bytes * 3 // 4, seed)).decode()


def go_base64(text: str) -> bytes:
    """Decode base64 as Ollama does, which is as strict as Go's encoding/json.

    Errors: ValueError.
    Source: Go encoding/base64, StdEncoding: padding is wanted, CR and LF are passed over.
    """
    text = text.replace("\r", "").replace("\n", "")
    if len(text) % 4 or not re.fullmatch(r"[A-Za-z0-9+/]*={0,2}", text):
        raise ValueError("illegal base64 data")
    return binascii.a2b_base64(text)


def _part(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
