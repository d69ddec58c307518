"""The command for a better trial model than the one that answers, which `clawgate up` names."""

from __future__ import annotations

from pathlib import Path

from clawgate.embedded.models import QWEN_CODER, SMOLLM2, Packaged
from clawgate.embedded.packages import is_frozen
from clawgate.embedded.weights import lacking

_CHECKOUT = Path(__file__).resolve().parents[2]


def command_for_better(model: Packaged = SMOLLM2, checkout: Path = _CHECKOUT) -> str | None:
    """Return the command that runs a better packaged model than this one; None where there is none to be had.

    Shape: in a checkout that is `make run`, which installs the model; elsewhere `clawgate up`, after pip where packages
    are lacking. Nothing can be installed into a frozen program.
    """
    if model is QWEN_CODER:
        return None
    if (checkout / "Makefile").is_file():
        return f"make run MODEL={QWEN_CODER.name}"
    parts = lacking(QWEN_CODER)
    command = f"clawgate up --model {QWEN_CODER.name}"
    if not parts:
        return command
    return None if is_frozen() else f"{QWEN_CODER.install(parts)} && {command}"
