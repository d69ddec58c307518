"""A messenger that asks for a new connection again and again: it gets one at once, unless that would be a storm."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from websockets.sync.server import ServerConnection, serve

from clawgate.bots.connection import Connection
from clawgate.bots.failures import Disconnected
from clawgate.bots.link import Frame, Link, Times
from tests.support.tools import DEADLINE_S

TIMES = Times(tick_s=0.02, asked_s=0.1)
ATTEMPTS = 5


class Rebalanced:
    """A wire whose messenger asks for a new connection once one has lived for some seconds."""

    def __init__(self, url: str, life_s: float) -> None:
        self._url = url
        self._life_s = life_s
        self._begun_at = 0.0

    def address(self) -> str:
        return self._url

    def begin(self, link: Link) -> None:  # noqa: ARG002
        self._begun_at = time.monotonic()

    def hear(self, link: Link, frame: Frame) -> None:
        pass

    def tick(self, link: Link) -> None:  # noqa: ARG002
        if time.monotonic() - self._begun_at >= self._life_s:
            raise Disconnected("the messenger asks for a new connection", is_asked=True)

    def end(self) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The address of a server that says nothing."""

    def listen(connection: ServerConnection) -> None:
        for _ in connection:
            pass

    with serve(listen, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/"
        server.shutdown()
        thread.join(DEADLINE_S)


def pauses_of(wire: Rebalanced) -> list[float]:
    """The pauses before the connections after the first."""
    pauses: list[float] = []

    def note(pause_s: float) -> None:
        pauses.append(pause_s)
        if len(pauses) == ATTEMPTS:
            connection.stop()

    connection = Connection(wire, TIMES, pause=note)
    keeping = threading.Thread(target=connection.keep, daemon=True)
    keeping.start()
    keeping.join(DEADLINE_S)
    assert not keeping.is_alive()
    return pauses


def test_a_connection_that_has_lived_is_replaced_at_once_each_time(url: str) -> None:
    assert max(pauses_of(Rebalanced(url, life_s=0.15))) <= TIMES.first_pause_s


def test_one_that_is_asked_away_at_once_is_no_reason_for_a_storm(url: str) -> None:
    pauses = pauses_of(Rebalanced(url, life_s=0.0))
    assert all(pause >= TIMES.first_pause_s * 2 ** (n - 1) for n, pause in enumerate(pauses) if n)
