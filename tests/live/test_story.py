"""The whole story on the real model, through nginx: ask, read, cut in, follow up, continue, forget."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support import client, sse
from tests.support.client import StreamClient
from tests.support.embedded import Embedded
from tests.support.gateway import Gateway
from tests.support.nginx import Nginx
from tests.support.tee import Tee
from tests.support.tools import DEADLINE_S

QUESTION = "Name three sights in Beijing."
CORRECTION = "Only the oldest one, please."
GREEDY = {"temperature": 0, "seed": 1}
BEFORE_THE_CUT = 60
HI = {"role": "user", "content": "Hi."}
BRIEF: dict[str, Any] = {"options": {**GREEDY, "num_predict": 3}}
AFTER_IT, CONTINUED = 12, 10


@pytest.mark.deadline(150)
def test_interrupted_answer_is_part_of_the_conversation(
    gateway: Callable[..., Gateway], nginx: Callable[..., Nginx]
) -> None:
    with Embedded() as embedded, Tee(embedded.base_url) as tee:
        front = nginx(gateway(model={"endpoint": tee.base_url, "model_name": embedded.model})).base_url

        partial, session_id = cut_in(front, tee)
        said = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": partial}]
        view = client.get(front, f"/api/sessions/{session_id}").json
        assert view["messages"] == [said[0], {**said[1], "interrupted": True}]
        assert view["streaming"] is False

        said.append({"role": "user", "content": CORRECTION})
        first = ask(front, session_id, message=CORRECTION, options={**GREEDY, "num_predict": AFTER_IT})
        assert tee.chats[-1].messages == said

        second = ask(front, session_id, **{"continue": True}, options={**GREEDY, "num_predict": CONTINUED})
        assert tee.chats[-1].messages == [*said, {"role": "assistant", "content": first}]
        uncut = embedded.answer(said, {**GREEDY, "num_predict": AFTER_IT + CONTINUED})
        assert (first, second) == ("".join(uncut[:AFTER_IT]), "".join(uncut[AFTER_IT:]))
        view = client.get(front, f"/api/sessions/{session_id}").json
        assert view["messages"][-1]["content"] == first + second
        assert len(view["messages"]) == 4

        assert client.delete(front, f"/api/sessions/{session_id}").status == 204
        assert client.get(front, f"/api/sessions/{session_id}").status == 404
        reply = client.post(front, "/api/chat", {"session_id": session_id, "message": "Still there?"})
        assert (reply.status, reply.json["error"]["code"]) == (404, "unknown_session")


def cut_in(front: str, tee: Tee) -> tuple[str, str]:
    """Ask, interrupt in the middle of the answer, and return the partial text and the session's id."""
    with StreamClient(front, {"message": QUESTION, "options": GREEDY}) as stream:
        start = stream.read_until(lambda event: "session_id" in event.data)[-1].data
        stream.read_until(lambda _: len(sse.text_of(stream.events)) >= BEFORE_THE_CUT, 3 * DEADLINE_S)
        reply = client.post(front, "/api/interrupt", {"session_id": start["session_id"]})
        assert tee.chats[0].closed.wait(DEADLINE_S), "the model was not told to stop"
        stream.read_all()
        sse.check(stream.events)
        partial = sse.text_of(stream.events)
        assert sse.end_of(stream.events)["done_reason"] == "interrupted"
        assert stream.complete
        assert reply.json == {
            "session_id": start["session_id"],
            "run_id": start["run_id"],
            "interrupted": True,
            "partial": partial,
        }
    return partial, start["session_id"]


def ask(front: str, session_id: str, **fields: object) -> str:
    """Read an answer that ends at its limit of tokens, and return it."""
    with StreamClient(front, {"session_id": session_id, **fields}) as stream:
        stream.read_all(3 * DEADLINE_S)
        sse.check(stream.events)
        assert sse.end_of(stream.events)["done_reason"] == "length"
        return sse.text_of(stream.events)


PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"message": {"role": "user", "content": "What is this?", "images": [PICTURE]}}, "vision"),
    ({"message": "Think.", "think": True}, "thinking"),
    ({"message": "Use it.", "tools": [TOOL]}, "tools"),
    ({"message": "Write JSON.", "format": "bogus"}, "invalid format"),
]


@pytest.mark.deadline(150)
def test_what_the_model_refuses_is_not_part_of_the_conversation(gateway: Callable[..., Gateway]) -> None:
    with Embedded() as embedded, Tee(embedded.base_url) as tee:
        front = gateway(model={"endpoint": tee.base_url, "model_name": embedded.model}).base_url
        for body, words in REFUSALS:
            reply = client.post(
                front, "/api/chat", {"session_id": "s-whole", "messages": [HI], "stream": False} | BRIEF
            )
            assert reply.status == 200
            given = {"session_id": "s-whole", **body}
            reply = client.post(front, "/api/chat", {**given, "stream": False})
            assert (reply.status, reply.json["error"]["code"]) == (400, "upstream_refused"), reply.json
            assert words in reply.json["error"]["message"]
            with StreamClient(front, given) as stream:
                stream.read_all(DEADLINE_S)
                assert sse.end_of(stream.events)["error"]["code"] == "upstream_refused"
            view = client.get(front, "/api/sessions/s-whole").json["messages"]
            assert [message.get("refused", False) for message in view] == [False, False, True, True]
            assert ask(front, "s-whole", message="And now?", **BRIEF)
            assert [message["content"] for message in tee.chats[-1].messages] == ["Hi.", view[1]["content"], "And now?"]

        reply = client.post(front, "/api/chat", {"message": "Hi.", "options": {"temperature": "hot"}})
        assert (reply.status, reply.json["error"]["code"]) == (400, "bad_request"), "it never gets as far as the model"
