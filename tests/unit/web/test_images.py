"""Pictures of a request: Ollama can decode what is kept, and what is refused is named with what it was."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.errors import BadRequest
from clawgate.relay.prompt import ChatRequest
from clawgate.web.door import images
from tests.support.pictures import TINY_GIF, go_base64, photo
from tests.support.tries import tried
from tests.unit.web.bodies import PICTURE, chat_of, chat_or_refusal, mistake_in, plain

PNG = b"\x89PNG\r\n\x1a\n"
EXPECTED = f"expected {PICTURE}, got"


def encoded(data: bytes) -> str:
    """Return bytes as Ollama wants them."""
    return base64.b64encode(data).decode()


ODD = PNG + bytes([0xFB, 0xFF, 0xBF, 0xFE] * 20)
"""A picture whose base64 has every sign in which the alphabets differ, and two signs of padding."""
STANDARD = encoded(ODD)


def kept(*sent: str) -> list[str]:
    """Return the pictures that Ollama gets for those that a client sends."""
    message = plain(chat_of({"message": {"role": "user", "images": list(sent)}}).message)
    assert message.keys() == {"role", "content", "images"}
    found: list[str] = message["images"]
    return found


def refused(sent: str) -> str:
    """Return the words for a picture that is refused."""
    return mistake_in({"message": {"role": "user", "images": [TINY_GIF, sent]}})


@pytest.mark.parametrize(
    "sent",
    [
        STANDARD,
        STANDARD.rstrip("="),
        base64.urlsafe_b64encode(ODD).decode(),
        base64.urlsafe_b64encode(ODD).decode().rstrip("="),
        base64.encodebytes(ODD).decode(),
        "\r\n".join(STANDARD[at : at + 64] for at in range(0, len(STANDARD), 64)),
        f" \t{STANDARD} \n",
        f"data:image/png;base64,{STANDARD}",
        f"DATA:Image/PNG;BASE64,{STANDARD}",
        f"data:image/png;charset=utf-8;base64,{STANDARD}",
        f'data:image/png; name="a b.png" ; base64 , {STANDARD}',
        f" \ndata:image/svg+xml;base64,{STANDARD.rstrip('=')}\n",
        f"data:;base64,{STANDARD}",
        f"image/jpeg;base64,{STANDARD}",
        f"image/svg+xml; charset=utf-8 ;base64,{STANDARD}",
        f"data:application/octet-stream;base64,{base64.urlsafe_b64encode(ODD).decode()}",
    ],
)
def test_a_picture_goes_on_as_ollama_takes_it_however_it_was_written(sent: str) -> None:
    assert {"+", "/", "="} <= set(STANDARD)
    assert kept(sent) == [STANDARD]
    assert kept(TINY_GIF, sent, TINY_GIF) == [TINY_GIF, STANDARD, TINY_GIF]


@pytest.mark.parametrize(("sign", "escape"), [("/", "\\/"), ("/", "\\u002f"), ("+", "\\u002B"), ("=", "\\u003d")])
@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
def test_escapes_of_json_are_no_part_of_a_picture(prefix: str, sign: str, escape: str) -> None:
    """PHP escapes a slash, .NET a plus, Gson an equals sign."""
    sent = json.dumps({"message": {"role": "user", "images": [prefix + STANDARD]}}).replace(sign, escape)
    assert escape in sent
    assert plain(chat_of(sent.encode()).message)["images"] == [STANDARD]


@pytest.mark.parametrize("window_bytes", range(8, 26))
def test_a_window_cuts_no_escape(monkeypatch: pytest.MonkeyPatch, window_bytes: int) -> None:
    monkeypatch.setattr(images, "WINDOW_BYTES", window_bytes)
    escapes = [lambda sign: f"\\u{ord(sign):04x}", lambda sign: sign.replace("/", "\\/"), lambda sign: f"{sign}\\n"]
    for escape in escapes:
        text = "".join(map(escape, STANDARD))
        found = images.normalised(memoryview(text.encode()))
        assert found is not None
        assert found.decode() == STANDARD
    assert images.is_base64(memoryview(STANDARD.encode()))
    for at in range(len(STANDARD)):
        wrong = STANDARD[:at] + "\\\\" + STANDARD[at:]
        assert images.normalised(memoryview(wrong.encode())) is None


@pytest.mark.parametrize(
    "head",
    [
        PNG,
        b"\xff\xd8\xff\xe0\0\x10JFIF",
        b"\xff\xd8\xff\xe1\0\x10Exif",
        b"GIF87a",
        b"GIF89a",
        b"RIFF\x10\0\0\0WEBPVP8 ",
        b"BM\x8a\x10\0\0\0\0\0\0\x8a",
        b"II*\0\x08\0\0\0",
        b"MM\0*\0\0\0\x08",
        b"\0\0\0\x18ftypheic",
        b"\0\0\0\x1cftypavif",
        b"\0\0\0\x0cJXL \r\n\x87\n",
        b"RIFF\x24\0\0\0WAVEfmt ",
        b"ID3\x04\0\0",
        b"\xff\xfb\x90\x64",
    ],
)
def test_what_a_model_may_see_or_hear_is_taken(head: bytes) -> None:
    sent = encoded(head + b"\0" * 40)
    assert kept(sent) == [sent]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"%PDF-1.7\n", "a PDF: send its pages as pictures"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing: send it as PNG"),
        (b'\n<?xml version="1.0"?><svg/>', "XML: send a drawing as PNG"),
        (b"<!DOCTYPE html><title>404 Not Found</title>", "an HTML page"),
        (b"PK\x03\x04\x14\0\x06\0", "an archive or an office document: send its pages as pictures"),
        (b"\0\0\0\x20ftypisom", "a video: send single pictures of it"),
        (TINY_GIF.encode(), "base64 of base64: encode it once"),
        (f"data:image/gif;base64,{TINY_GIF}".encode(), "base64 of base64: encode it once"),
        (b"hi", "a text"),
        ("春光明媚".encode(), "a text"),
        (b"BMW is a maker of cars", "a text"),
        (b"\0\1\2\3\4\5\6\7", "bytes that begin like no known kind of picture"),
    ],
)
def test_what_is_no_picture_is_named(data: bytes, words: str) -> None:
    assert refused(encoded(data)) == f"message.images[1]: {EXPECTED} {words}"
    assert refused(f"data:image/png;base64,{encoded(data)}") == f"message.images[1]: {EXPECTED} {words}"


NOT_BASE64 = "a text that is not base64; send the bytes of the picture as base64, not the name of a file"
ADDRESS = "an address, which is not fetched; send the picture itself as base64"


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ("", "an empty text"),
        (" \n", "an empty text"),
        ("data:image/png;base64,", "an empty text"),
        ("https://example.org/a.png", ADDRESS),
        ("HTTP://example.org/a.png", ADDRESS),
        ("file:///etc/passwd", ADDRESS),
        ("blob:http://localhost/1f", ADDRESS),
        ("data:image/svg+xml,<svg/>", "a data: address without base64; send the picture as base64"),
        ("data:image/png;base64", ADDRESS),
        ("photo.jpg", NOT_BASE64),
        ("/home/me/photo.jpg", NOT_BASE64),
        ("C:\\photo.jpg", NOT_BASE64),
        (STANDARD[:-3], NOT_BASE64),
        ("=" + STANDARD, NOT_BASE64),
        (STANDARD + STANDARD, NOT_BASE64),
        (STANDARD + "春", NOT_BASE64),
        (STANDARD + "🙂", NOT_BASE64),
        (STANDARD + '"', NOT_BASE64),
        (STANDARD + "%3D", NOT_BASE64),
        ("x" * 50_001, NOT_BASE64),
    ],
)
def test_what_is_no_base64_is_named_and_not_repeated(sent: str, words: str) -> None:
    assert refused(sent) == f"message.images[1]: {EXPECTED} {words}"


def test_a_picture_is_named_by_its_message_and_its_place() -> None:
    history: list[dict[str, Any]] = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "a", "images": [TINY_GIF]},
        {"role": "tool", "content": "b", "images": ["x.png"]},
    ]
    assert mistake_in({"messages": history}).startswith(f"messages[2].images[0]: {EXPECTED} a text that is not base64")
    history[2]["content"] = "b" * 40_000
    assert mistake_in({"messages": history}).startswith("messages[2].images[0]: ")


def test_a_message_has_a_bounded_number_of_pictures() -> None:
    assert len(kept(*[TINY_GIF] * 1000)) == 1000
    assert mistake_in({"message": {"role": "user", "images": [TINY_GIF] * 1001}}) == (
        "message.images: expected a list of at most 1000 pictures, got 1001 of them"
    )


def test_a_long_picture_is_checked_to_its_end() -> None:
    long = photo(300_000)
    assert kept(long) == [long]
    for at in (len(long) // 2, len(long) - 1):
        assert refused(f"{long[:at]}*{long[at + 1 :]}") == f"message.images[1]: {EXPECTED} {NOT_BASE64}"


signs = st.sampled_from(["", "=", "==", "\n", " ", "-", "_", "+", "/", "AAAA", "QUJD", "A", "\\", '"', "é", ":"])


@given(st.lists(signs, max_size=12))
@tried(200)
def test_ollama_decodes_whatever_is_kept(parts: list[str]) -> None:
    sent = "".join([TINY_GIF.rstrip("="), *parts])
    chat = chat_or_refusal(json.dumps({"message": {"role": "user", "images": [sent]}}).encode())
    meant = sent.translate(str.maketrans("-_", "+/", " \n"))
    meant += "=" * (-len(meant) % 4)
    try:
        picture = go_base64(meant)
    except ValueError:
        assert isinstance(chat, BadRequest)
    else:
        assert isinstance(chat, ChatRequest)
        assert go_base64(plain(chat.message)["images"][0]) == picture
