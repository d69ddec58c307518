"""The number of inputs that a property is tried with: few in each run, more by hand with `TRIES=20000 pytest …`."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

TRIES = int(os.environ.get("TRIES", "0"))


def tried(times: int) -> settings:
    """Try a property that often, or more where the environment asks for it."""
    return settings(max_examples=max(times, TRIES), deadline=None, suppress_health_check=[HealthCheck.too_slow])


PATIENT = pytest.mark.deadline(60 + TRIES / 50)
"""The time that each property of a module may take."""
