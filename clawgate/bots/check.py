"""`clawgate bot check`: whether the gateway answers, and each messenger takes its bot. One line for each finding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from clawgate.bots.assembly import MESSENGERS, GatewayAddress, bot_of, is_named
from clawgate.bots.connection import Connection
from clawgate.bots.failures import BotError
from clawgate.bots.lock import Lock, Running
from clawgate.client import ClientError, Refused
from clawgate.errors import ConfigError

if TYPE_CHECKING:
    from clawgate.config.bots import BotsConfig


class Finding(NamedTuple):
    """A line of the check, and whether it speaks of something that is not ready."""

    line: str
    is_ready: bool = True


def findings(config: BotsConfig, place: GatewayAddress) -> Iterator[Finding]:
    """Yield what is found of the gateway and of each bot; one that is not named in the configuration is told, too.

    Errors: ConfigError for an address of the gateway that cannot be one.
    """
    yield _of_gateway(place)
    named = [name for name in MESSENGERS if is_named(name, config)]
    for name in MESSENGERS:
        if name in named:
            yield _of_bot(name, config, place)
        else:
            yield Finding(f"not configured: {MESSENGERS[name].title} (bots.{MESSENGERS[name].id_setting})")
    if not named:
        yield Finding("not ready: no bot is configured; docs/bots.md has the way from the console", is_ready=False)


def _of_gateway(place: GatewayAddress) -> Finding:
    gateway = place.gateway()
    try:
        status = gateway.status()
    except Refused as error:  # in the gateway's own words, which do not name its address
        return Finding(f"not ready: gateway {gateway.url}: {error}", is_ready=False)
    except ClientError as error:
        return Finding(f"not ready: {error}", is_ready=False)
    return Finding(f"ok: gateway {gateway.url}, model {status.model}")


def _of_bot(name: str, config: BotsConfig, place: GatewayAddress) -> Finding:
    title = MESSENGERS[name].title
    try:
        bot = bot_of(name, config, place)
        with Lock(name, *bot.account):  # WeCom would take its connection from a bot that runs
            Connection(bot.wire).try_once()
    except Running:
        return Finding(f"ok: {title}: the bot runs on this machine; its connection was left alone")
    except (ConfigError, BotError) as error:
        return Finding(f"not ready: {title}: {error}", is_ready=False)
    return Finding(f"ok: {title}: connects as {bot.account.id}")
