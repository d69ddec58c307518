"""Pictures in a conversation: Ollama gets what it can decode, and a session keeps them apart from its text."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.http.asking import ask, configured, opening, reason, refusal, session
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama
from tests.support.pictures import go_base64, photo, png

pytestmark = configured(stream={"smoothing_ms": 0})


def shown(words: str, *images: str) -> dict[str, Any]:
    """Return a question about pictures."""
    return {"role": "user", "content": words, "images": list(images)}


PICTURE = png(3000)
FORMS = {
    "as it is": base64.b64encode(PICTURE).decode(),
    "a data: address": f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}",
    "lines": base64.encodebytes(PICTURE).decode(),
    "URL": base64.urlsafe_b64encode(PICTURE).decode().rstrip("="),
}


@pytest.mark.parametrize("form", FORMS)
def test_ollama_decodes_the_picture_that_the_client_meant(gate: Gateway, upstream: ScriptedOllama, form: str) -> None:
    """The scripted Ollama is as strict as Go: it refuses the data: address and the alphabet of URLs as they are."""
    question = shown("What is this?", FORMS[form])
    assert reason(ask(gate, {"messages": [question], "session_id": "s-form"})) == "stop"
    assert reason(ask(gate, {"message": question, "session_id": "s-form"})) == "stop"
    sent = [message["images"][0] for message in upstream.chats[-1].messages if message["role"] == "user"]
    assert sent == [FORMS["as it is"]] * 2
    assert go_base64(sent[0]) == PICTURE
    assert session(gate, "s-form")["messages"][0] == shown("What is this?", FORMS["as it is"])


def test_what_is_no_picture_is_refused_by_its_place_and_changes_nothing(
    gate: Gateway, upstream: ScriptedOllama
) -> None:
    ask(gate, opening("s-wrong"))
    before = session(gate, "s-wrong")["messages"]
    history = [*before, {"role": "user", "content": "a"}, shown("b", FORMS["lines"], "https://example.org/a.png")]
    for body, place in (
        ({"message": history[-1]}, "message.images[1]"),
        ({"messages": history}, "messages[3].images[1]"),
    ):
        status, code, words = refusal(gate.post("/api/chat", {**body, "session_id": "s-wrong"}))
        assert (status, code) == (400, "bad_request")
        assert words == (
            f"{place}: expected a picture (PNG, JPEG, WebP, …) as base64, got an address, which is not fetched; send "
            "the picture itself as base64"
        )
    assert session(gate, "s-wrong")["messages"] == before
    assert len(upstream.chats) == 1


def test_a_photo_is_still_there_after_five_follow_ups(gate: Gateway, upstream: ScriptedOllama) -> None:
    first = shown("What is this?", photo(1_600_000))
    started = [ask(gate, {"messages": [first], "session_id": "s-photo"})[0].data]
    for number in range(5):
        started.append(ask(gate, {"message": f"and {number}?", "session_id": "s-photo"})[0].data)
    assert [chat.messages[0] == first for chat in upstream.chats] == [True] * 6
    assert len(upstream.chats[-1].messages) == 11
    assert go_base64(upstream.chats[-1].messages[0]["images"][0]) == png(1_200_000)
    assert not [data for data in started if {"dropped_turns", "dropped_images"} & set(data)]
    assert session(gate, "s-photo")["messages"][0] == first


def test_of_more_pictures_than_are_kept_the_oldest_go_and_every_text_stays(
    gate: Gateway, upstream: ScriptedOllama
) -> None:
    """Six pictures of 4 MB are 24 MB; four of them are within 16 MiB."""
    pictures = [photo(4_000_000, seed) for seed in range(6)]
    told = []
    for number, picture in enumerate(pictures):
        question = shown(f"{number}?", picture)
        body = {"message": question} if number else {"messages": [question]}
        answer = gate.post("/api/chat", {**body, "session_id": "s-many", "stream": False}).json
        told.append(answer.get("dropped_images", 0))
        assert "dropped_turns" not in answer
    view = session(gate, "s-many")["messages"]
    asked = [message for message in view if message["role"] == "user"]
    assert [message["content"] for message in asked] == [f"{number}?" for number in range(6)]
    assert [message.get("images") for message in asked] == [None] * 2 + [[picture] for picture in pictures[2:]]
    assert told == [0] * 4 + [1] * 2
    assert [len(message.get("images", [])) for message in upstream.chats[-1].messages[::2]] == [0, *[1] * 5], (
        "the request sent what was kept then, and its own"
    )
