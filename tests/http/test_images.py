"""Pictures in a conversation: Ollama gets what it can decode, and a session keeps them apart from its text."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.http.asking import ask, configured, opening, reason, refusal, session
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama
from tests.support.pictures import go_base64, png

MB = 1 << 20
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
    """The scripted Ollama is as strict as Go: sent as they are, it refuses all forms but the first."""
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
