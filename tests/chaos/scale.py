"""The two forms of the chaos: the short one runs with every pytest, the long one with `make chaos` (CHAOS=long)."""

from __future__ import annotations

import os
from typing import TypeVar

import pytest

_T = TypeVar("_T")

IS_LONG = os.environ.get("CHAOS") == "long"
long_only = pytest.mark.skipif(not IS_LONG, reason="long: `make chaos`")


def scaled(short: _T, long: _T) -> _T:
    """Return the value of the form that runs."""
    return long if IS_LONG else short
