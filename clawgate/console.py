"""Lines on stdout and stderr: for people in their own language (`announce`, `tell`, `complain`), for scripts as
they are (`say`).

An output of `say` or `announce` that is full, or whose reader has left, stops no process.
"""

from __future__ import annotations

import os
import sys

from clawgate.language import adapt, spoken


def say(line: str) -> None:
    """Print a line at once; where that fails, this one and all further ones are dropped."""
    try:
        print(line, flush=True)
    except OSError:
        drop_output()


def announce(line: str) -> None:
    """Print a line as `say` does, in the reader's language."""
    say(spoken(line))


def tell(line: str) -> None:
    """Print a line in the reader's language.

    Errors: OSError, where stdout cannot be written to.
    """
    print(spoken(line))


def complain(line: str) -> None:
    """Print the one line about what keeps a command from its work, in the reader's language."""
    print(spoken(f"clawgate: {line}", sys.stderr), file=sys.stderr)


def adapt_output() -> None:
    """Have both outputs take every character, in the charset of a Chinese locale."""
    adapt(sys.stdout)
    adapt(sys.stderr)


def drop_output() -> None:
    """Let go of what is printed from now on, and of what has not left yet: Python would try again at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    if sys.stdout is not None:  # as it is where it was closed from the start
        sys.stdout.flush()
