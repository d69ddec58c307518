"""The gateway's routes as methods. docs/api.md is their reference."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from clawgate.client.answer import Answer, Patience
from clawgate.client.endpoint import Endpoint, read
from clawgate.client.failures import NotAGateway
from clawgate.client.views import Interruption, SessionView, Status

SMALL_S = 10.0
"""The longest silence of a gateway that is asked for something small."""
_T = TypeVar("_T")


class Gateway:
    """A gateway at an address, with its token where it wants one.

    Threads: any.
    Errors: ValueError for an address or a token that cannot be one. All calls: ClientError.
    """

    def __init__(self, url: str, token: str | None = None, patience: Patience | None = None) -> None:
        self._endpoint = Endpoint(url, token)
        self._patience = patience or Patience()

    @property
    def url(self) -> str:
        """The address, without what signs in to a proxy."""
        return self._endpoint.url

    def ask(self, question: Mapping[str, Any]) -> Answer:
        """Return the answer to a question, which is asked once it is iterated. It waits for a reader that is cut off.

        Shape: question is the body of POST /api/chat: `message`, `messages` or `continue`, `session_id`, `model`, …
        """
        body = msgspec.json.encode({"on_disconnect": "detach", **question, "stream": True})
        session_id = question.get("session_id", "")
        return Answer(self._endpoint, body, str(uuid.uuid4()), session_id, "", self.interrupt, self._patience)

    def follow(self, session_id: str, after: str = "") -> Answer:
        """Return a session's answer in flight, or its last one, behind an event's id or from its start."""
        return Answer(self._endpoint, None, "", session_id, after, self.interrupt, self._patience)

    def interrupt(self, session_id: str, run_id: str | None = None) -> Interruption:
        """End a session's answer in flight; only that run, where one is named. Its text is settled then."""
        given = {"session_id": session_id} | ({} if run_id is None else {"run_id": run_id})
        return self._ask_small("POST", "/api/interrupt", Interruption, given)

    def session(self, session_id: str) -> SessionView:
        """Return a session."""
        return self._ask_small("GET", f"/api/sessions/{session_id}", SessionView)

    def forget(self, session_id: str) -> None:
        """End a session's answer, and delete the session."""
        with self._endpoint.request("DELETE", f"/api/sessions/{session_id}", read_s=SMALL_S):
            pass

    def status(self) -> Status:
        """Return the state of the gateway."""
        return self._ask_small("GET", "/api/status", Status)

    def _ask_small(self, method: str, path: str, kind: type[_T], given: object = None) -> _T:
        body = None if given is None else msgspec.json.encode(given)
        with self._endpoint.request(method, path, body, read_s=SMALL_S) as response:
            try:
                return msgspec.json.decode(read(response), type=kind)
            except (msgspec.MsgspecError, RecursionError) as error:
                raise NotAGateway(
                    f"what answers at {self.url} is no gateway ({error})", response.status_code
                ) from error
