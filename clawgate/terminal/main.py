"""`clawgate chat`: the talk at a terminal, or one answer in a pipe."""

from __future__ import annotations

import errno
import io
import os
import sys

from clawgate.client import ClientError, Gateway
from clawgate.console import drop_output
from clawgate.errors import ConfigError
from clawgate.terminal import words
from clawgate.terminal.display import Display
from clawgate.terminal.pipe import answer_once
from clawgate.terminal.plain import PlainDisplay
from clawgate.terminal.prompt import Prompt
from clawgate.terminal.settings import Settings
from clawgate.terminal.signals import Leave, Signals
from clawgate.terminal.talk import Talk, complain

READER_HAS_LEFT = 141
"""The exit status that a shell shows for a program that a closed pipe ended."""


def run(settings: Settings) -> int:
    """Run the client; return the exit status.

    Errors: ConfigError for an option or a question that cannot be one; OSError where stdout cannot be written to.
    """
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if not isinstance(stream, io.TextIOWrapper):
            raise ConfigError("expected stdin, stdout and stderr, got a closed one")
    _replace_what_cannot_be_encoded()
    try:
        gateway = Gateway(settings.url, settings.token)
    except ValueError as error:
        raise ConfigError(f"--{error}") from error
    try:
        with Signals() as signals:
            if not (sys.stdin.isatty() and sys.stdout.isatty()):
                return answer_once(gateway, _beside_a_pipe(), settings, signals)
            prompt = Prompt(is_capable=_is_capable(), is_bold=_is_capable() and not settings.is_plain)
            return Talk(gateway, _at_a_terminal(settings), prompt, settings, signals).run()
    except Leave as leave:
        return 128 + leave.number
    except ClientError as error:
        told = {"unknown_session": words.UNKNOWN_SESSION, "unauthorized": words.UNAUTHORIZED}.get(error.code)
        complain(str(error) if told is None else told.format(session_id=settings.session_id))
        return 1
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.EIO):  # else the pipe's reader or the terminal has gone
            raise
        drop_output()
        return READER_HAS_LEFT


def _replace_what_cannot_be_encoded() -> None:
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _is_capable() -> bool:
    return os.environ.get("TERM", "dumb") not in ("dumb", "unknown", "")


def _beside_a_pipe() -> Display:
    """Make the display of a pipe; a terminal beside it, where one is there, shows what is waited for."""
    is_capable = sys.stderr.isatty() and _is_capable()
    return PlainDisplay(sys.stdout, sys.stderr if is_capable else None, is_capable=is_capable)


def _at_a_terminal(settings: Settings) -> Display:
    if _is_capable() and not settings.is_plain:
        try:
            from clawgate.terminal.screen import Screen
        except ImportError:  # rich is an extra
            pass
        else:
            return Screen(sys.stdout, shows_thinking=settings.shows_thinking)
    is_capable = _is_capable() and not settings.is_plain
    return PlainDisplay(sys.stdout, sys.stdout, is_capable=is_capable, shows_thinking=settings.shows_thinking)
