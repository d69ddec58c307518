"""The question whether the gateway can work with the Redis of its configuration: asked at a start and by `check`.

The answer is one line that names the cure, and no word of it comes from the URL's user and password. It is asked with a
client of its own, which is closed afterwards: the gateway's connections are made after the fork.
"""

from __future__ import annotations

from typing import NamedTuple

from clawgate.config import Config


class Standing(NamedTuple):
    """The finding: the server, what keeps the gateway from using it, and what its operator should know."""

    server: str = ""
    problem: str | None = None
    warnings: tuple[str, ...] = ()


def standing_of(config: Config) -> Standing:
    """Ask the Redis of session.redis_url what it is, and whether it lets us do all that we need.

    Units: at most some tenths of a second for each of five questions.
    Errors: ConfigError where the URL has an option that redis-py does not know.
    """
    try:
        from clawgate.redis.asking import ask
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "redis":
            raise
        return Standing(problem="redis-py 8 or later is missing: pip install 'clawgate[redis]'")
    return ask(config.session)
