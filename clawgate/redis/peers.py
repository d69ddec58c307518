"""The words between the processes that share one Redis.

A process that wants something of another's run pushes a request onto that process's inbox, which one thread there reads
with a blocking pop. The answer comes on a list of the request's own, which expires. Nothing that is pushed while a
connection is made anew is lost, as it would be with pub/sub.

    end    ends a run; answered once its text is in the session
    want   has the run written down as it grows, and counts as a reader of it
    leave  takes that back; nobody waits for the answer

A process that is dead, or does not answer, loses its runs: what they have written down is settled for them, and the
store takes nothing more of them.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
from contextlib import suppress
from functools import partial
from typing import Any, Literal

import msgspec

from clawgate.errors import SessionStoreUnavailable
from clawgate.redis.beat import Beat
from clawgate.redis.hearing import Hearing
from clawgate.redis.link import BLOCK_S, PAUSE_S, TIMEOUT_S, Link, milliseconds
from clawgate.redis.logs import Logs
from clawgate.redis.naming import PROCESS_DIGITS, process_of
from clawgate.redis.recovery import Recovery
from clawgate.redis.store import RedisStore
from clawgate.relay.log import Log
from clawgate.relay.peers import Outcome, Teller

ANSWER_S = 1.5
"""A process that has not answered by then loses the run."""
FIRST_S = 1.5
"""The longest wait for the first words of a run that is being written down."""
log = logging.getLogger(__name__)


class Request(msgspec.Struct, frozen=True):
    """A request to another process."""

    what: Literal["end", "want", "leave"]
    run_id: str
    reply: str
    session_id: str | None = None
    done_reason: str = "interrupted"
    reader: str = ""
    is_anew: bool = False


class Answer(msgspec.Struct, frozen=True):
    """The answer; is_done is False where the run has ended by itself, or is not known."""

    is_done: bool
    session_id: str | None = None
    partial: str = ""


DEAD, SILENT = Answer(is_done=False), Answer(is_done=False)
"""The stand-ins for the answer of a process that is dead, or does not answer in time."""


class RedisPeers:
    """The other processes; a run's id names its own.

    family: the part of a process's name that all workers of a master have.
    Threads: any. `_lock` guards the start. A thread reads the inbox, another one is the beat.
    """

    has_others = True

    def __init__(self, link: Link, store: RedisStore, logs: Logs, family: str) -> None:
        self._link = link
        self._logs = logs
        self._store = store
        self._family = family
        self._recovery = Recovery(store, logs)
        self._lock = threading.Lock()
        self._pid = 0
        self._process = ""
        self._is_over = threading.Event()
        self._beat: Beat | None = None
        self._inbox: threading.Thread | None = None

    def start(self, teller: Teller) -> None:
        """Begin to listen to the others; again is harmless. Call in the process that serves, after a fork."""
        if self._pid == os.getpid():
            return
        with self._lock:
            if self._pid != os.getpid():
                self._begin(teller)

    def _begin(self, teller: Teller) -> None:
        self._process = self._family + secrets.token_hex(PROCESS_DIGITS // 2 - len(self._family) // 2)
        self._beat = Beat(self._link, self._store, self._logs, self._recovery, self._process, teller)
        self._beat.begin()
        self._inbox = threading.Thread(target=self._listen, args=(teller,), name="inbox", daemon=True)
        self._inbox.start()
        self._pid = os.getpid()

    def stop(self) -> None:
        """Say that this process serves no more; it has written down all that there is."""
        if self._beat is None or self._inbox is None:
            return
        self._is_over.set()
        try:  # the word that ends its wait
            self._link.call(lambda client: client.rpush(self._link.key("inbox", self._process), b""))
        except SessionStoreUnavailable:
            pass  # then its wait ends by itself
        self._inbox.join(BLOCK_S + TIMEOUT_S)
        self._beat.end()

    def name_run(self) -> str:
        """Return a new run's id: its process, and 128 random bits."""
        return f"run_{self._process}{secrets.token_hex(16)}"

    def is_elsewhere(self, run_id: str) -> bool:
        """Tell whether a run's id names another process."""
        return process_of(run_id) not in ("", self._process)

    def is_sibling(self, run_id: str) -> bool:
        """Tell whether a run's id names a process of the same master, which counts the same slots."""
        return process_of(run_id).startswith(self._family)

    def end(self, run_id: str, session_id: str | None, done_reason: str) -> Outcome | None:
        """Have its process end a run, and return once its answer is settled; None where it has ended by itself."""
        answer = self._ask(Request("end", run_id, self._new_reply(), session_id, done_reason))
        if answer.is_done:
            return Outcome(answer.session_id, answer.partial)
        return self._recovery.recover(run_id, session_id)

    def log_of(self, run_id: str, reader: str) -> Log | None:
        """Return what is written down of a run of another process; None where nothing is, and nothing will be."""
        if not process_of(run_id):
            return None
        found = self._logs.read(run_id)
        if found is not None and found.is_ended:
            return found
        if not self.is_elsewhere(run_id) or not self.ask(run_id, reader):
            found = self._logs.read(run_id)  # its end may have been written since
            return found if found is not None and found.is_ended else None
        return found or self._first_of(run_id)

    def _first_of(self, run_id: str) -> Log | None:
        self._logs.wait(run_id, FIRST_S)
        return self._logs.read(run_id)

    def more(self, run_id: str, log: Log, timeout_s: float) -> bool:
        """Wait for what else a run says, and append it to the log; False where there is a gap behind the log."""
        return self._logs.more(run_id, log, timeout_s)

    def ask(self, run_id: str, reader: str, is_anew: bool = False) -> bool:
        """Ask a run's process to write it down as it grows; False where that does not know it, or is dead.

        One that does not answer may only be slow: a reader waits for it, and takes nothing away from it.
        """
        answer = self._ask(Request("want", run_id, self._new_reply(), reader=reader, is_anew=is_anew))
        if answer is DEAD:
            self._recovery.recover(run_id, None)
        return answer.is_done or answer is SILENT

    def leave(self, run_id: str, reader: str) -> None:
        """Tell a run's process that a reader has left; it finds out by itself otherwise."""
        with suppress(SessionStoreUnavailable):
            self._push(Request("leave", run_id, "", reader=reader))

    def _new_reply(self) -> str:
        return self._link.key("reply", secrets.token_hex(16))

    def _ask(self, request: Request) -> Answer:
        """Ask a run's process."""
        if not self._push(request):
            return DEAD
        popped: Any = self._link.wait(lambda client: client.blpop([request.reply], ANSWER_S))
        return SILENT if popped is None else msgspec.json.decode(popped[1], type=Answer)

    def _push(self, request: Request) -> bool:
        """Push a request onto a process's inbox; False where the process is dead."""
        is_sure = self._beat is not None and self._beat.is_sure
        process = process_of(request.run_id)
        keys = [self._link.key("process", process), self._link.key("inbox", process)]
        return bool(
            self._link.run("push", keys, [msgspec.json.encode(request), milliseconds(ANSWER_S * 4), int(not is_sure)])
        )

    def _listen(self, teller: Teller) -> None:
        """Read the inbox for as long as the process serves."""
        inbox = self._link.key("inbox", self._process)
        with Hearing(partial(self._hear, teller)) as hearing:
            while not self._is_over.is_set():
                try:
                    popped: Any = self._link.wait(lambda client: client.blpop([inbox], BLOCK_S))
                    request = None if popped is None else _request(popped[1])
                    if request is not None:
                        is_end = request.what == "end"
                        hearing.add(request, (request.session_id or request.run_id) if is_end else "")
                except SessionStoreUnavailable:
                    self._is_over.wait(PAUSE_S)
                except Exception:  # the thread must live on: without it nobody can end an answer from elsewhere
                    log.exception("the inbox of this process has failed")
                    self._is_over.wait(PAUSE_S)

    def _hear(self, teller: Teller, request: Request) -> None:
        try:
            answer = _answer(teller, request)
            if request.what == "end" and not answer.is_done:
                self._store.settle_run(request.run_id)  # else whoever asks settles it from its log, which has less
            if request.reply:
                args = [msgspec.json.encode(answer), milliseconds(ANSWER_S * 4)]
                self._link.run("answer", [request.reply], args)
        except SessionStoreUnavailable:
            pass  # the link has said so; whoever asked takes the run over
        except Exception:  # the thread must live on
            log.exception("a request of another process has failed")


def _request(data: bytes) -> Request | None:
    """Decode a request; None for the word that ends the wait for one."""
    try:
        return msgspec.json.decode(data, type=Request) if data else None
    except msgspec.DecodeError:
        log.exception("a request of another process cannot be read")
        return None


def _answer(teller: Teller, request: Request) -> Answer:
    if request.what == "want":
        return Answer(teller.want(request.run_id, request.reader, request.is_anew))
    if request.what == "leave":
        teller.leave(request.run_id, request.reader)
        return Answer(True)
    outcome = teller.end(request.run_id, request.session_id, request.done_reason)
    return Answer(False) if outcome is None else Answer(True, outcome.session_id, outcome.partial)
