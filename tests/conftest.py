"""Fixtures for every test, and two guards around each: nothing hangs, nothing is left behind.

The guards need no plugin: SIGALRM fails a test that exceeds its time and prints what every thread was doing; threads
and sockets that outlive a test fail it.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO

import pytest
from hypothesis import given
from hypothesis.strategies import none

from tests.support.gateway import Gateway
from tests.support.nginx import Nginx
from tests.support.ollama import ScriptedOllama
from tests.support.tools import on_a_free_port, wait_for

TEST_DEADLINE_S = 60.0
"""The time that each phase of a test may take; `@pytest.mark.deadline(seconds)` gives one test more."""
LEAK_GRACE_S = 5.0
"""The time that helper threads have to end after a test; one of the gateway's looks once a second whether it may."""

_GRACEFUL_S = 2
_REAL_STDERR = pytest.StashKey[TextIO]()
_Phase = Generator[None, object, object]


@pytest.fixture
def ollama() -> Iterator[ScriptedOllama]:
    """A started ScriptedOllama; the test fails with what failed on its threads."""
    with ScriptedOllama() as scripted:
        yield scripted
    assert not scripted.problems, "the scripted Ollama:\n" + "\n".join(scripted.problems)


@pytest.fixture
def gateway(ollama: ScriptedOllama, tmp_path: Path) -> Iterator[Callable[..., Gateway]]:
    """Start gateways: `gateway(stream={"heartbeat_seconds": 0.2})`, each before the scripted Ollama.

    Sections of the configuration are keywords; `env`, `command`, `cwd` and `is_ready_awaited` are Gateway's. A
    gateway that a test ends has 2 s for it unless `server={"graceful_seconds": …}` says otherwise; one that is left
    after the test is killed.
    """
    options = ("env", "command", "cwd", "is_ready_awaited")

    with ExitStack() as stack:

        def start(**given: Any) -> Gateway:
            sections = {name: value for name, value in given.items() if name not in options}
            started = Gateway(
                _wired(sections, ollama),
                tmp_path / "gateway",
                **{name: value for name, value in given.items() if name in options},
            )
            stack.callback(_kill_and_show, started)
            return started

        yield start


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Callable[..., Nginx]]:
    """Start nginxes with the shipped configuration: `nginx(gateway)` or `nginx("127.0.0.1:9", replace={…})`."""
    with ExitStack() as stack:

        def start(upstream: Gateway | str, **options: Any) -> Nginx:
            address = upstream if isinstance(upstream, str) else upstream.socket or f"127.0.0.1:{upstream.port}"
            folder = tmp_path / f"nginx{len(list(tmp_path.glob('nginx*')))}"
            started = on_a_free_port(lambda: Nginx(address, folder, **options))
            stack.callback(_kill_and_show, started)
            return started

        yield start


@pytest.fixture(autouse=True)
def _leaves_nothing_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a thread behind, or (through ResourceWarning) an open socket or file."""
    before = set(threading.enumerate())
    yield
    try:
        wait_for(lambda: not _leaked(before), "threads end", LEAK_GRACE_S)
    except AssertionError:
        pytest.fail("threads outlive the test:\n" + "\n".join(_stack_of(thread) for thread in _leaked(before)))
    if "unit" not in request.path.parts or "bots" in request.path.parts:
        gc.collect()  # finds a socket in a cycle, 1.2 ms after the freeze; pure tests open none


def pytest_configure(config: pytest.Config) -> None:
    """Keep the real stderr, before pytest captures it, for a hang that only the end of the run can end."""
    _speak_english()
    config.addinivalue_line("markers", "deadline(seconds): what each phase of this test may take")
    config.stash[_REAL_STDERR] = os.fdopen(os.dup(sys.__stderr__.fileno() if sys.__stderr__ else 2), "w")


def _speak_english() -> None:
    """Keep of a developer's own locale the characters alone: the tests read the English lines of the commands."""
    os.environ.pop("LANGUAGE", None)
    if os.environ.get("LC_ALL"):
        os.environ["LC_CTYPE"] = os.environ.pop("LC_ALL")
    os.environ["LC_MESSAGES"] = "C"


def pytest_collection_finish() -> None:
    """Take everything that exists by now out of later garbage collections: 80,000 objects, the tests themselves."""
    given(none())(lambda _: None)()  # hypothesis looks once for referrers of its random sources; a freeze hides them
    gc.collect()
    gc.freeze()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Give the stderr back."""
    faulthandler.cancel_dump_traceback_later()
    config.stash[_REAL_STDERR].close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> _Phase:
    """Guard the set-up."""
    with _deadline(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> _Phase:
    """Guard the test."""
    with _deadline(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> _Phase:
    """Guard the tear-down."""
    with _deadline(item):
        return (yield)


@contextmanager
def _deadline(item: pytest.Item) -> Iterator[None]:
    """Fail the phase when it exceeds its time; end the run a little later where C code blocks even that."""
    marker = item.get_closest_marker("deadline")
    seconds = float(marker.args[0]) if marker else TEST_DEADLINE_S

    def fail(*_: object) -> None:
        faulthandler.dump_traceback(file=2, all_threads=True)
        pytest.fail(f"not over after {seconds:g} s; what each thread was doing is in the captured stderr")

    previous = signal.signal(signal.SIGALRM, fail)
    faulthandler.dump_traceback_later(seconds + 15, exit=True, file=item.config.stash[_REAL_STDERR])
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, previous)


def _wired(sections: Mapping[str, Mapping[str, Any]], ollama: ScriptedOllama) -> dict[str, Mapping[str, Any]]:
    return {
        **sections,
        "model": {"endpoint": ollama.base_url, **sections.get("model", {})},
        "server": {"graceful_seconds": _GRACEFUL_S, **sections.get("server", {})},
    }


def _kill_and_show(process: Gateway | Nginx) -> None:
    """End a process at once and print its log, which pytest shows with a test that failed.

    A proper end takes a quarter of a second, and up to its grace where an answer is in flight; tests/live looks at it.
    """
    process.stop(signal.SIGKILL)
    print(f"--- {process.name}'s log ---\n{process.log}")


def _leaked(before: set[threading.Thread]) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread not in before]


def _stack_of(thread: threading.Thread) -> str:
    frame = sys._current_frames().get(thread.ident or 0)
    return f"{thread!r}\n{''.join(traceback.format_stack(frame)) if frame else ''}"
