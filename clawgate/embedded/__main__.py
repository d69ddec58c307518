"""`clawgate embedded`, or `python -m clawgate.embedded`: arguments in, a listening model out.

The command line and `clawgate up` call `main`. It prints one line on stdout once the port listens, `Embedded model NAME
on http://HOST:PORT`, and loads the weights at the same time; a request that comes first waits for them. SIGINT and
SIGTERM end it within a moment: running answers are cut, as a real Ollama cuts them.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from clawgate.embedded.engine import Engine
from clawgate.embedded.job import EngineFailed
from clawgate.embedded.models import SMOLLM2, Packaged, known_names, packaged
from clawgate.embedded.routes import Routes
from clawgate.embedded.server import EmbeddedServer
from clawgate.embedded.weights import Missing, Weights, check_engine, find_weights
from clawgate.language import adapt, spoken

_LOOK_EVERY_S = 0.2


class _Parser(argparse.ArgumentParser):
    """argparse, with one line for a usage error."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where help is; exit 2."""
        self.exit(2, spoken(f"clawgate: embedded: {message} (see `{self.prog} --help`)", sys.stderr) + "\n")


def main(argv: Sequence[str] | None = None, explained: Callable[[OSError, str, int], str] = lambda *_: "") -> int:
    """Run until a signal comes, and end the process. Returns 1 where it cannot start; usage errors exit with 2.

    Shape: explained gives what to append to the message of a host and port that cannot be bound.
    Threads: the main one, because of the signals.
    """
    adapt(sys.stderr)
    given = _parser().parse_args(argv)
    try:
        weights = find_weights(given.weights, given.model or SMOLLM2)
        check_engine()
    except Missing as error:
        return _complain(str(error))
    except KeyboardInterrupt:  # putting the weights together takes some seconds
        return 130
    engine = Engine(
        weights.path,
        given.threads,
        weights.context_tokens,
        reads_singly=weights.reads_singly,
        is_verbose=given.verbose,
    )
    try:
        server = EmbeddedServer(given.host, given.port, Routes(engine, weights), is_verbose=given.verbose)
    except OSError as error:
        why = f"{error.strerror or error}{explained(error, given.host, given.port)}"
        return _complain(f"cannot listen on {given.host}:{given.port}: {why}")
    with server:
        _serve(server, engine, weights)
    # The weights go with the process. llama.cpp's own end of them, a moment after they were loaded, hung for ever in 7
    # of 24 tries on a busy core, and kept Python from doing anything else.
    os._exit(0)


def default_threads() -> int:
    """Count the physical cores that this process may run on: a second thread on one core slows the engine down."""
    if not hasattr(os, "sched_getaffinity"):
        return max((os.cpu_count() or 2) // 2, 1)
    allowed = os.sched_getaffinity(0)
    return len({_siblings(cpu) for cpu in allowed}) or 1


def _siblings(cpu: int) -> str:
    try:
        return Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text()
    except OSError:
        return str(cpu)


def _serve(server: EmbeddedServer, engine: Engine, weights: Weights) -> None:
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    threading.Thread(target=_load, args=(engine,), daemon=True).start()
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    serving.start()
    try:
        print(f"Embedded model {weights.name} on {server.url}", flush=True)
        _wait(ended)
    except BrokenPipeError:  # its reader has left
        pass
    except OSError:  # the disk behind stdout is full
        _wait(ended)
    server.shutdown()
    serving.join()
    engine.close()


def _wait(ended: threading.Event) -> None:
    """Wait for a signal; one that comes just before the wait begins runs its handler only once the wait has ended."""
    while not ended.wait(_LOOK_EVERY_S):
        pass


def _load(engine: Engine) -> None:
    """Load ahead of the first request; a failure is printed here, and answered to each request that needs the model."""
    try:
        engine.load()
    except EngineFailed as error:
        _complain(str(error))


def _complain(message: str) -> int:
    print(spoken(f"clawgate: embedded: {message}", sys.stderr), file=sys.stderr, flush=True)
    return 1


def _parser() -> _Parser:
    parser = _Parser(prog="clawgate embedded", description="A small real model behind Ollama's own HTTP API.")
    parser.add_argument("--host", default="127.0.0.1", help="address to bind (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=11434, help="0 takes a free one (default: %(default)s)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model", type=model_named, metavar="NAME", help=f"{known_names()} (default: {SMOLLM2.name})")
    which.add_argument("--weights", type=Path, metavar="FILE.gguf", help="another model than the packaged ones")
    parser.add_argument(
        "--threads", type=_positive, default=default_threads(), help="of the engine (default here: %(default)s)"
    )
    parser.add_argument("--verbose", action="store_true", help="log requests and what llama.cpp says, on stderr")
    return parser


def model_named(name: str) -> Packaged:
    """Return the packaged model of that name, for argparse. Errors: ArgumentTypeError that names the known ones."""
    found = packaged(name)
    if found is None:
        raise argparse.ArgumentTypeError(f'expected {known_names()}, got "{name}"')
    return found


def _positive(text: str) -> int:
    return _whole(text, 1, 1024)


def _port(text: str) -> int:
    return _whole(text, 0, 65535)


def _whole(text: str, least: int, most: int) -> int:
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f'expected an integer from {least} to {most}, got "{text}"')
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
