"""The content of OpenAI's messages: texts become one, pictures a list, anything else is named."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from clawgate.errors import BadRequest
from clawgate.web.door.images import MAX_IMAGES
from clawgate.web.door.parts import Content, read_content
from clawgate.web.door.shapes import Fields
from clawgate.web.openai.parts import EXPECTED, PARTS
from tests.support.pictures import TINY_GIF

DATA = f"data:image/gif;base64,{TINY_GIF}"
TEXT = {"type": "text", "text": "春光"}
PICTURE = {"type": "image_url", "image_url": {"url": DATA, "detail": "low"}}


def content_of(sent: Any) -> Content:
    """Return the content that is read of what a client sends."""
    given = Raw(sent if isinstance(sent, bytes) else json.dumps(sent, ensure_ascii=False).encode())
    return read_content(given, "messages[0].content", Fields(EXPECTED), PARTS)


def plain(value: Any) -> Any:
    """Return a value as it goes to Ollama."""
    return json.loads(msgspec.json.encode(value))


def mistake_in(sent: Any) -> str:
    """Return the message for a content that is refused."""
    with pytest.raises(BadRequest) as caught:
        content_of(sent)
    return caught.value.message


@pytest.mark.parametrize(
    ("sent", "text", "images"),
    [
        ("春🙂光", "春🙂光", []),
        ("", "", []),
        (None, "", []),
        ([], "", []),
        ([TEXT], "春光", []),
        ([TEXT, {**TEXT, "cache_control": {"type": "ephemeral"}}], "春光\n\n春光", []),
        ([{"type": "text", "text": ""}, TEXT, {"type": "text", "text": ""}], "春光", []),
        ([PICTURE], "", [TINY_GIF]),
        ([{"type": "image_url", "image_url": DATA}], "", [TINY_GIF]),
        ([TEXT, PICTURE, {"type": "text", "text": 'a\n"b\\'}, PICTURE], '春光\n\na\n"b\\', [TINY_GIF, TINY_GIF]),
    ],
)
def test_texts_become_one_and_pictures_a_list(sent: Any, text: str, images: list[str]) -> None:
    content = content_of(sent)
    assert (plain(content.text), plain(content.images)) == (text, images)


def test_a_refusal_is_a_text() -> None:
    assert plain(content_of([{"type": "refusal", "refusal": "No."}, TEXT]).text) == "No.\n\n春光"


def test_escapes_stay_as_they_were_sent() -> None:
    content = content_of(rb'[{"type":"text","text":"a\u6625\n"},{"type":"text","text":"\ud83d\ude42"}]')
    assert bytes(content.text) == rb'"a\u6625\n\n\n\ud83d\ude42"'  # type: ignore[arg-type]
    assert plain(content.text) == "a春\n\n\n🙂"


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (5, ": expected a text, null, or a list of parts, got int"),
        ({"type": "text"}, ": expected a text, null, or a list of parts, got object"),
        (["春光"], '[0]: expected a part like {"type": "text", "text": "…"}, got str'),
        ([{}], '[0].type: expected "text", "image_url" or "refusal", got nothing'),
        ([{"type": 5}], '[0].type: expected "text", "image_url" or "refusal", got int'),
        ([{"type": None}], '[0].type: expected "text", "image_url" or "refusal", got null'),
        ([TEXT, {"type": "input_audio"}], '[1].type: expected "text", "image_url" or "refusal", got "input_audio"'),
        ([{"type": "a\nb"}], r'[0].type: expected "text", "image_url" or "refusal", got "a\nb"'),
        ([{"type": "x" * 100}], f'[0].type: expected "text", "image_url" or "refusal", got "{"x" * 64}"'),
        ([{"type": "x" * 20_000}], '[0].type: expected "text", "image_url" or "refusal", got 20002 bytes'),
        ([{"type": "text"}], "[0].text: expected a text"),
        ([{"type": "text", "text": None}], "[0].text: expected a text, got null"),
        ([{"type": "text", "text": ["a"]}], "[0].text: expected a text, got array"),
        ([{"type": "image_url"}], '[0].image_url: expected an object like {"url": "data:image/png;base64,…"}'),
        (
            [{"type": "image_url", "image_url": 5}],
            '[0].image_url: expected an object like {"url": "data:image/png;base64,…"}, got int',
        ),
        (
            [{"type": "image_url", "image_url": {}}],
            "[0].image_url.url: expected a picture as an address like data:image/png;base64,…",
        ),
        (
            [{"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}],
            "[0].image_url.url: expected a picture as an address like data:image/png;base64,…, "
            "got an address, which is not fetched; send the picture itself as base64",
        ),
        (
            [{"type": "image_url", "image_url": "cat.png"}],
            '[0].image_url: expected an object like {"url": "data:image/png;base64,…"}, '
            "got a text that is not base64; send the bytes of the picture as base64, not the name of a file",
        ),
        (
            [PICTURE] * (MAX_IMAGES + 1),
            f"[{MAX_IMAGES}].image_url.url: expected at most 1000 pictures in a message, got more",
        ),
    ],
)
def test_a_mistake_is_named_by_its_path(sent: Any, message: str) -> None:
    assert mistake_in(sent) == f"messages[0].content{message}"
