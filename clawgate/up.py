"""`clawgate up`: the newcomer's one command.

It finds Ollama at the endpoint; where a loopback endpoint has none, it starts the embedded model and says so. Then it
runs the gateway, prints the page's address, and ends all of it at Ctrl-C, or when one of the two ends by itself. If it
is killed, the two end with it (lifeline.py).
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from types import FrameType
from urllib.parse import urlsplit

from clawgate import launching
from clawgate.addresses import visited_name
from clawgate.config import Config, ServerConfig
from clawgate.console import announce, complain
from clawgate.ollama.client import OllamaClient
from clawgate.ollama.finding import described
from clawgate.ollama.state import upstream_state

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
STOP_S = 15
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, a service manager's stop, a terminal that is closed."""
CAUSES: dict[int, str] = {
    signal.SIGKILL: ": as a rule for want of memory",
    signal.SIGILL: ": its engine is not for a processor as old as this one",
}
"""The words on a signal that somebody meets."""


class StopRequested(Exception):
    """A signal asks for the end."""


class Child(subprocess.Popen[str]):
    """One of the two processes; is_ready once it has said so."""

    name = "gateway"
    is_ready = False


@dataclass(frozen=True)
class Trial:
    """The embedded model that answers where no Ollama does.

    Shape: better is the command that runs a better one, None where there is none.
    """

    name: str
    is_chosen: bool = False
    better: str | None = None


def run(config: Config, trial: Trial) -> int:
    """Start the model and the gateway, wait for the end, end both; return the exit status."""
    for number in ENDINGS:
        if signal.getsignal(number) is not signal.SIG_IGN or number != signal.SIGHUP:  # as nohup sets it
            signal.signal(number, _end)
    children: list[Child] = []
    try:
        environment = _find_model(config, trial, children)
        if environment is None:
            return 1
        gateway = _start(children, ["clawgate", "serve"], environment)
        started = _read(gateway, r"Server started on (?::(\d+)|unix:)")
        if started is None:
            _report_signal(gateway)
            return 1
        announce(f"{_invitation(config.server, started[1])} Ctrl-C ends it.")
        return _watch(children)
    except StopRequested:
        return 0
    finally:
        _stop(children)


def _invitation(server: ServerConfig, port: str | None) -> str:
    """Say where the page is; behind a Unix socket only the proxy knows."""
    if port is None:
        return f"The gateway listens on {server.host}: open the address of the proxy in front of it."
    name = visited_name(server.host, server.trusted_hosts)
    return f"Open http://{name}:{port}{server.path_prefix}/ in your browser."


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    _heed_no_more()
    raise StopRequested


def _heed_no_more() -> None:
    """Let no later signal cut short what the first has begun: a closed terminal or a service manager sends several."""
    for number in ENDINGS:
        signal.signal(number, _pass)  # not SIG_IGN yet: Python complains of one that is on its way


def _pass(number: int, frame: FrameType | None) -> None:
    pass


def _find_model(config: Config, trial: Trial, children: list[Child]) -> dict[str, str] | None:
    """Return what the gateway's environment needs on top, starting the embedded model where there is no other."""
    endpoint, model = config.model.endpoint, config.model.model_name
    state = upstream_state(OllamaClient.of(config.model), model)
    if state.reachable:
        announce(f"Ollama {state.version} answers at {endpoint} with {model}.")
        if not state.model_ready:
            announce(f"It does not have that model yet: run `ollama pull {model}`.")
        if trial.is_chosen:
            announce(f"--model {trial.name} has no effect: it is for machines without Ollama.")
        return {}
    is_elsewhere = urlsplit(endpoint).hostname not in LOOPBACK
    if state.finding is not None and state.finding.is_lasting:
        found = described(state.finding, endpoint)
        announce(f"{found[0].upper()}{found[1:]}.")
    elif is_elsewhere:
        announce(f"No Ollama answers at {endpoint} yet; the gateway waits for it.")
    if is_elsewhere:
        if trial.is_chosen:
            announce(f"--model {trial.name} has no effect: model.endpoint is on another machine.")
        return {}
    embedded = _start(children, ["clawgate.embedded", "--port", "0", "--model", trial.name], {})
    embedded.name = "embedded model"
    ready = _read(embedded, r"Embedded model (\S+) on (http://\S+)")
    if ready is None:
        _report_signal(embedded)
        if state.finding is not None and not state.finding.is_lasting:  # else it has been said
            complain(described(state.finding, endpoint))
        return None
    name, url = ready.groups()
    announce(f"No Ollama answers at {endpoint}: the small embedded model {name} answers instead of {model}.")
    packaged = f"`{trial.better}`, or " if trial.better is not None else ""
    announce(f"It is a trial model. For a better one: {packaged}install Ollama and run `ollama pull {model}`.")
    return {"CLAWGATE_MODEL_ENDPOINT": url, "CLAWGATE_MODEL_MODEL_NAME": name}


def _start(children: list[Child], module: list[str], environment: dict[str, str]) -> Child:
    # a session of its own: Ctrl-C reaches only this process, which ends the others in the right order
    child = Child(
        launching.command("clawgate.lifeline", *module),
        stdin=subprocess.PIPE,  # held, never written: it ends when this process does
        stdout=subprocess.PIPE,
        text=True,
        errors="replace",  # a socket's Chinese path comes in the terminal's charset, which may not be Python's
        env={**os.environ, **environment},
        start_new_session=True,
    )
    children.append(child)
    return child


def _read(child: Child, pattern: str) -> re.Match[str] | None:
    """Read the child's output up to the line that says it is ready; None when it ended instead."""
    assert child.stdout is not None
    for line in child.stdout:
        found = re.search(pattern, line)
        if found:
            child.is_ready = True
            return found
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(STOP_S)
    return None


def _watch(children: list[Child]) -> int:
    """Wait until one ends by itself: that is a failure."""
    while all(child.poll() is None for child in children):
        time.sleep(0.2)
    if not any(map(_report_signal, children)):
        complain("one of the processes ended by itself; see its messages above")
    return 1


def _report_signal(child: Child) -> bool:
    """Name the signal that has ended a process, which then left no message; False where it was none."""
    number = -(child.poll() or 0)
    if number <= 0:
        return False
    why = CAUSES.get(number, "")
    complain(f"the {child.name} was ended by signal {number} ({signal.strsignal(number)}){why}")
    return True


def _stop(children: list[Child]) -> None:
    """End the gateway first, so that running answers end properly, then the model."""
    with contextlib.suppress(StopRequested):
        _heed_no_more()
    for child in reversed(children):
        if child.poll() is None:
            # SIGINT ends the gateway without its patience; a Python that still starts would show it as a traceback
            child.send_signal(signal.SIGINT if child.is_ready else signal.SIGTERM)
        try:
            child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()
    for number in ENDINGS:
        signal.signal(number, signal.SIG_IGN)  # Python's own end would put the default in the place of a function
