"""A connection that is kept: its back-off, its watchdog, and that it can always be left."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from clawgate.bots import connection as module
from clawgate.bots.connection import MAX_HANGING, Connection
from clawgate.bots.failures import Denied, Disconnected, TakenOver
from clawgate.bots.link import Frame, Link, Times
from tests.support.tools import DEADLINE_S, free_port, refuse_thread, wait_for

QUICK = Times(tick_s=0.01, close_s=0.1)
Handler = Callable[[ServerConnection], None]


@contextmanager
def server(handler: Handler) -> Iterator[str]:
    """Serve each connection with a handler; yield the address."""
    served = serve(handler, "127.0.0.1", 0, compression=None, ping_interval=None, close_timeout=0.1)
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    try:
        yield f"ws://127.0.0.1:{served.socket.getsockname()[1]}"
    finally:
        served.shutdown()
        thread.join()


def stay(connection: ServerConnection) -> None:
    """Take what comes until the bot leaves."""
    for _ in connection:
        pass


def leave(_: ServerConnection) -> None:
    """Close at once."""


class PlainWire:
    """A messenger's protocol that does what a test tells it to."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.heard: list[Frame] = []
        self.ends = 0
        self.begun = threading.Event()
        self.on_begin: Callable[[Link], None] = lambda _: None
        self.on_hear: Callable[[Frame], None] = lambda _: None
        self.on_tick: Callable[[Link], None] = lambda _: None
        self.on_address: Callable[[], None] = lambda: None

    def address(self) -> str:
        """Return the address."""
        self.on_address()
        return self.url

    def begin(self, link: Link) -> None:
        """Be taken."""
        self.begun.set()
        self.on_begin(link)

    def hear(self, _: Link, frame: Frame) -> None:
        """Keep a frame."""
        self.heard.append(frame)
        self.on_hear(frame)

    def tick(self, link: Link) -> None:
        """Do what the test says."""
        self.on_tick(link)

    def end(self) -> None:
        """Count."""
        self.ends += 1


class Kept:
    """A connection on a thread of its own. pauses: those between attempts; stop_after: so many of them are enough."""

    def __init__(self, wire: PlainWire, times: Times = QUICK, stop_after: int = 0) -> None:
        self.pauses: list[float] = []
        self.error: BaseException | None = None
        self.connection = Connection(wire, times, self._pause if stop_after else None)
        self._stop_after = stop_after
        self._thread = threading.Thread(target=self._keep)
        self._thread.start()

    def _pause(self, pause_s: float) -> None:
        self.pauses.append(pause_s)
        if len(self.pauses) >= self._stop_after:
            self.connection.stop()

    def _keep(self) -> None:
        try:
            self.connection.keep()
        except BaseException as error:  # noqa: BLE001  the test looks at it
            self.error = error

    def ended(self) -> Kept:
        """Wait until it is given up."""
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()
        return self

    def stopped(self) -> Kept:
        """Stop it, and wait until it is left. It may take a tick, and not what it waits for."""
        self.connection.stop()
        return self.ended()


@pytest.fixture
def served() -> Iterator[Callable[[Handler], PlainWire]]:
    """Make wires to servers with these handlers."""
    with ExitStack() as stack:
        yield lambda handler: PlainWire(stack.enter_context(server(handler)))


@pytest.fixture
def deaf() -> Iterator[PlainWire]:
    """A wire to a port that takes connections and answers nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield PlainWire(f"ws://127.0.0.1:{listening.getsockname()[1]}")


def test_frames_are_handed_over_and_sent_as_they_are(served: Callable[[Handler], PlainWire]) -> None:
    received: list[str | bytes] = []

    def handler(connection: ServerConnection) -> None:
        for text in ('{"a": "春"}', "no JSON", "[1]", b'{"b": 1}'):
            connection.send(text)
        received.extend(connection)

    wire = served(handler)
    is_all = threading.Event()
    wire.on_begin = lambda link: link.send({"cmd": "春 \ud800"})
    wire.on_hear = lambda frame: is_all.set() if frame == {"b": 1} else None
    kept = Kept(wire)
    assert is_all.wait(DEADLINE_S)
    assert kept.connection.is_open
    kept.stopped()
    assert wire.heard == [{"a": "春"}, {}, {}, {"b": 1}]
    assert received == ['{"cmd":"春 ?"}']
    assert wire.ends == 1
    assert not kept.connection.is_open


def test_an_address_that_swallows_everything_leaves_time_for_the_next(
    served: Callable[[Handler], PlainWire], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is with IPv6 in a network that has addresses and no way out."""
    dead, made, find = ("127.0.0.2", 9), socket.socket.connect, socket.getaddrinfo

    class Socket(socket.socket):
        """One whose connection to the dead address takes all the time that it has."""

        def connect(self, address: Any) -> None:
            """Connect."""
            if address == dead:
                time.sleep(self.gettimeout() or DEADLINE_S)
                raise TimeoutError
            made(self, address)

    def both(*given: Any, **more: Any) -> list[Any]:
        found = find(*given, **more)
        return [(*found[0][:4], dead)] * 2 + found

    wire = served(stay)
    monkeypatch.setattr(socket, "socket", Socket)
    monkeypatch.setattr(socket, "getaddrinfo", both)
    kept = Kept(wire, QUICK._replace(open_s=5.0, address_s=0.05))
    assert wire.begun.wait(DEADLINE_S)
    kept.stopped()


def test_pauses_grow_and_differ_by_chance() -> None:
    wire = PlainWire(f"ws://127.0.0.1:{free_port()}")
    pauses = Kept(wire, stop_after=10).ended().pauses
    longest = [min(2.0**number, 60.0) for number in range(10)]
    assert all(most / 2 <= pause <= most for pause, most in zip(pauses, longest, strict=True))
    assert len({pause / most for pause, most in zip(pauses, longest, strict=True)}) == 10
    assert wire.ends == 0, "nothing had begun"


def test_a_messenger_that_takes_the_bot_and_leaves_makes_no_storm(served: Callable[[Handler], PlainWire]) -> None:
    wire = served(leave)
    pauses = Kept(wire, stop_after=6).ended().pauses
    assert pauses[-1] >= 16
    assert wire.ends == 6


def test_the_pauses_begin_anew_after_a_good_connection(served: Callable[[Handler], PlainWire]) -> None:
    pauses = Kept(served(leave), QUICK._replace(steady_s=0.0), stop_after=6).ended().pauses
    assert max(pauses) <= 1.0


def test_who_is_asked_to_come_again_comes_soon_but_not_each_time(served: Callable[[Handler], PlainWire]) -> None:
    wire = served(stay)

    def ask(_: Link) -> None:
        raise Disconnected("come again", is_asked=True)

    wire.on_tick = ask
    pauses = Kept(wire, stop_after=8).ended().pauses
    assert pauses[0] <= 1.0
    assert all(pause >= min(2.0**number, 60.0) / 2 for number, pause in enumerate(pauses) if number)


def test_who_comes_too_often_waits_for_longer(served: Callable[[Handler], PlainWire]) -> None:
    wire = served(stay)

    def refuse(_: Link) -> None:
        raise Disconnected("too often", pause_s=30)

    wire.on_begin = refuse
    pauses = Kept(wire, stop_after=2).ended().pauses
    assert all(30 <= pause <= 45 for pause in pauses)


def test_a_refusal_at_first_is_the_end(served: Callable[[Handler], PlainWire]) -> None:
    wire = served(stay)

    def refuse(_: Link) -> None:
        raise Denied("wrong secret")

    wire.on_begin = refuse
    assert isinstance(Kept(wire).ended().error, Denied)
    assert wire.ends == 1


def test_a_refusal_later_is_tried_again(
    served: Callable[[Handler], PlainWire], caplog: pytest.LogCaptureFixture
) -> None:
    """A secret may be changed and changed back; a bot that was good does not end for it."""
    wire = served(leave)

    def refuse(_: Link) -> None:
        if wire.ends == 1:
            raise Denied("wrong secret")

    wire.on_begin = refuse
    kept = Kept(wire, stop_after=3).ended()
    assert kept.error is None
    assert len(kept.pauses) == 3
    assert "wrong secret" in caplog.text


def test_a_bot_that_is_replaced_does_not_come_back(served: Callable[[Handler], PlainWire]) -> None:
    wire = served(stay)

    def replace(_: Link) -> None:
        raise TakenOver("a newer one")

    wire.on_tick = replace
    kept = Kept(wire).ended()
    assert isinstance(kept.error, TakenOver)
    assert kept.pauses == []


def test_the_time_that_the_machine_slept_is_silence(
    served: Callable[[Handler], PlainWire], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that stands still meanwhile, as the monotonic one does, would call a dead connection new."""
    slept_s = [0.0]
    clock = SimpleNamespace(monotonic=time.monotonic, time=lambda: time.time() + slept_s[0])
    monkeypatch.setattr(module, "time", clock)
    wire = served(stay)

    def sleep(_: Link) -> None:
        slept_s[0] = 3600.0

    wire.on_tick = sleep
    Kept(wire, stop_after=1).ended()
    assert "nothing came for 3600 s: the connection counts as dead" in caplog.text


def test_a_clock_that_is_set_back_is_no_silence(
    served: Callable[[Handler], PlainWire], monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks: list[int] = []
    clock = SimpleNamespace(monotonic=time.monotonic, time=lambda: time.time() - 3600 * len(ticks))
    monkeypatch.setattr(module, "time", clock)
    wire, enough = served(stay), threading.Event()

    def tick(_: Link) -> None:
        ticks.append(1)
        if len(ticks) == 5:
            enough.set()

    wire.on_tick = tick
    kept = Kept(wire)
    assert enough.wait(DEADLINE_S)
    kept.stopped()
    assert wire.ends == 1


def test_a_silent_connection_is_left(served: Callable[[Handler], PlainWire], caplog: pytest.LogCaptureFixture) -> None:
    wire = served(stay)
    Kept(wire, QUICK._replace(silence_s=0.05), stop_after=2).ended()
    assert wire.ends == 2
    assert "the connection counts as dead" in caplog.text


def test_any_frame_is_a_sign_of_life(served: Callable[[Handler], PlainWire], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each frame comes 80 s after the one before, and the connection looks once in between."""
    now = [0.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0], time=lambda: now[0]))

    def handler(connection: ServerConnection) -> None:
        for text in connection:
            connection.send(text)

    def later(_: Frame) -> None:
        now[0] += 80

    def ask(link: Link) -> None:
        ticks.append(len(wire.heard))
        if ticks.count(len(wire.heard)) == 2:
            link.send({})
        if len(wire.heard) == 5:
            is_all.set()

    wire = served(handler)
    is_all, ticks = threading.Event(), list[int]()
    wire.on_hear, wire.on_tick = later, ask
    kept = Kept(wire)
    assert is_all.wait(DEADLINE_S)
    kept.stopped()
    assert wire.ends == 1


@pytest.mark.deadline(10)
def test_a_bot_leaves_while_it_listens(served: Callable[[Handler], PlainWire]) -> None:
    wire = served(stay)
    kept = Kept(wire)
    assert wire.begun.wait(DEADLINE_S)
    assert kept.stopped().error is None


@pytest.mark.deadline(10)
def test_a_bot_leaves_while_it_waits_to_be_taken(served: Callable[[Handler], PlainWire]) -> None:
    wire = served(stay)

    def wait(link: Link) -> None:
        while True:
            link.receive(0.01)

    wire.on_begin = wait
    kept = Kept(wire)
    assert wire.begun.wait(DEADLINE_S)
    assert kept.stopped().error is None


@pytest.mark.deadline(10)
def test_a_bot_leaves_while_it_pauses() -> None:
    asked = threading.Event()
    wire = PlainWire(f"ws://127.0.0.1:{free_port()}")
    wire.on_address = asked.set
    kept = Kept(wire, QUICK._replace(first_pause_s=1000, longest_pause_s=1000))
    assert asked.wait(DEADLINE_S)
    kept.stopped()


def test_a_bot_in_a_hurry_tries_once_more_at_once_and_not_again() -> None:
    asked = threading.Semaphore(0)
    wire = PlainWire(f"ws://127.0.0.1:{free_port()}")
    wire.on_address = asked.release
    kept = Kept(wire, QUICK._replace(first_pause_s=1000, longest_pause_s=1000))
    assert asked.acquire(timeout=DEADLINE_S)
    kept.connection.hurry()
    assert asked.acquire(timeout=DEADLINE_S)
    assert not asked.acquire(timeout=0.3)
    kept.stopped()


@pytest.mark.deadline(10)
def test_a_bot_leaves_while_a_handshake_hangs(deaf: PlainWire, caplog: pytest.LogCaptureFixture) -> None:
    asked = threading.Event()
    deaf.on_address = asked.set
    kept = Kept(deaf, QUICK._replace(open_s=2.0))
    assert asked.wait(DEADLINE_S)
    kept.stopped()
    assert not caplog.records, "to leave is no failure"


@pytest.mark.deadline(10)
def test_a_connection_that_comes_too_late_is_closed(served: Callable[[Handler], PlainWire]) -> None:
    left, asked, goes_on = threading.Event(), threading.Event(), threading.Event()

    def handler(connection: ServerConnection) -> None:
        stay(connection)
        left.set()

    def wait() -> None:
        asked.set()
        assert goes_on.wait(DEADLINE_S)

    wire = served(handler)
    wire.on_address = wait
    kept = Kept(wire)
    assert asked.wait(DEADLINE_S)
    kept.stopped()
    goes_on.set()
    assert left.wait(DEADLINE_S)
    assert not wire.begun.is_set()


@pytest.mark.deadline(10)
def test_a_write_that_hangs_is_the_end_of_the_connection(served: Callable[[Handler], PlainWire]) -> None:
    """Without a bound it would hold the library's lock, and the watchdog could not close the connection."""
    goes_on = threading.Event()

    def handler(connection: ServerConnection) -> None:
        goes_on.wait(DEADLINE_S)
        connection.socket.shutdown(socket.SHUT_RDWR)

    wire = served(handler)
    caught: list[BaseException] = []

    def write(link: Link) -> None:
        try:
            while True:
                link.send({"x": "x" * 100_000})
        except Disconnected as error:
            caught.append(error)
            raise

    wire.on_begin = write
    kept = Kept(wire, QUICK._replace(write_s=0.1), stop_after=1).ended()
    goes_on.set()
    assert kept.error is None
    assert len(caught) == 1


def test_an_address_that_cannot_be_had_is_tried_again() -> None:
    wire = PlainWire("")

    def refuse() -> None:
        raise Disconnected("no ticket")

    wire.on_address = refuse
    assert len(Kept(wire, stop_after=3).ended().pauses) == 3


@pytest.mark.parametrize("url", ["ws://no-such-host.invalid", "ws://127.0.0.1:1/", "http://127.0.0.1:1"])
def test_what_cannot_be_connected_to_is_tried_again(url: str) -> None:
    kept = Kept(PlainWire(url), stop_after=1).ended()
    assert kept.error is None
    assert kept.pauses


def test_a_proxy_that_needs_a_package_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    Kept(PlainWire("ws://messenger.invalid"), stop_after=1).ended()
    assert "no connection to ws://messenger.invalid: " in caplog.text


def test_no_proxy_is_asked_for_an_address_of_this_machine(
    served: Callable[[Handler], PlainWire], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes there is not encrypted, and a secret is in it."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    Connection(served(stay), QUICK).try_once()


def test_a_system_without_threads_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Thread, "start", refuse_thread)
    pauses: list[float] = []

    def pause(pause_s: float) -> None:
        pauses.append(pause_s)
        connection.stop()

    connection = Connection(PlainWire("ws://127.0.0.1:1"), QUICK, pause)
    connection.keep()
    assert len(pauses) == 1


def test_no_secret_is_in_a_log(served: Callable[[Handler], PlainWire], caplog: pytest.LogCaptureFixture) -> None:
    """The library logs frames and addresses at debug."""
    caplog.set_level(logging.DEBUG)

    def handler(connection: ServerConnection) -> None:
        try:
            connection.recv()
            connection.send('{"text": "what p3ople write"}')
        except ConnectionClosed:
            pass

    wire = served(handler)
    wire.url += "/?ticket=t1cket"
    wire.on_begin = lambda link: link.send({"secret": "s3cr3t"})
    Kept(wire, stop_after=1).ended()
    wire.url = f"ws://127.0.0.1:{free_port()}/?ticket=t1cket"
    Kept(wire, stop_after=1).ended()
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name != "websockets.server")
    assert "no connection to ws://127.0.0.1" in ours
    assert not any(word in ours for word in ("t1cket", "s3cr3t", "p3ople"))


@pytest.mark.parametrize(
    "url", ["wss://a..b/x", f"wss://{'a' * 70}.example/x", "wss://127.0.0.1:99999/x", "wss://[::1/x", "wss://h/x#y"]
)
def test_an_address_that_can_be_none_ends_no_bot_and_tells_no_ticket(url: str) -> None:
    with pytest.raises(Disconnected) as caught:
        Connection(PlainWire(f"{url}?ticket=t0p"), QUICK).try_once()
    assert "t0p" not in str(caught.value)


def test_a_proxy_that_is_none_tells_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "ftp://name:passw0rd@proxy.example:1")
    with pytest.raises(Disconnected) as caught:
        Connection(PlainWire("wss://messenger.example/x"), QUICK).try_once()
    assert "passw0rd" not in str(caught.value)


def assert_set(event: threading.Event) -> None:
    """Hang until an event comes."""
    assert event.wait(DEADLINE_S)


def test_an_attempt_that_hangs_is_given_up_and_few_threads_are_left_behind() -> None:
    go = threading.Event()
    wire = PlainWire("ws://127.0.0.1:1")
    wire.on_address = lambda: assert_set(go)
    connection = Connection(wire, QUICK._replace(opening_s=0.02))
    for _ in range(MAX_HANGING):
        with pytest.raises(Disconnected, match=r"no connection within 0\.02 s"):
            connection.try_once()
    with pytest.raises(Disconnected, match="attempts hang"):
        connection.try_once()
    go.set()
    wait_for(lambda: all(each.done() for each in connection._hanging), "the attempts are over")
    with pytest.raises(Disconnected, match="refused"):
        Connection(wire, QUICK).try_once()


def test_a_redirect_to_another_host_gets_no_secret() -> None:
    begun: list[Link] = []

    def redirect() -> None:
        asking, _ = first.accept()
        with asking:
            asking.recv(1 << 16)
            asking.sendall(f"HTTP/1.1 302 Found\r\nLocation: {other}\r\nContent-Length: 0\r\n\r\n".encode())

    with server(stay) as other, socket.create_server(("127.0.0.1", 0)) as first:
        thread = threading.Thread(target=redirect)
        thread.start()
        wire = PlainWire(f"ws://127.0.0.1:{first.getsockname()[1]}/x")
        wire.on_begin = begun.append
        with pytest.raises(Disconnected, match=r"leads elsewhere|302"):
            Connection(wire, QUICK).try_once()
        thread.join()
    assert not begun


def test_the_name_of_a_host_may_be_written_in_any_way() -> None:
    with server(stay) as url:
        Connection(PlainWire(url.replace("127.0.0.1", "LOCALHOST") + "/x?y"), QUICK).try_once()
