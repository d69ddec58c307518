"""Warnings about a configuration that is valid.

The gateway logs them at its start and at a reload, `clawgate check` prints them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from clawgate.addresses import is_loopback
from clawgate.config.declaration import ENVIRONMENT_PREFIX
from clawgate.config.environment import own_variables
from clawgate.config.options import warnings_of
from clawgate.config.settings import Config, settings


def cautions(config: Config, environment: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each thing that an operator should know, and may have meant."""
    server, model = config.server, config.model
    if "*" in server.cors_allowed_origins:
        yield "server.cors_allowed_origins is *: every page may use this gateway"
    if not server.trusted_hosts and not is_loopback(server.host):
        yield (
            f"server.host is {server.host} and server.trusted_hosts is empty: a page whose own name is made to point "
            "at this machine may use this gateway (DNS rebinding); name in server.trusted_hosts what it is called by"
        )
    for setting in settings():
        if setting.is_secret and not environment.get(setting.variable, "-").strip():
            yield f"{setting.variable} is empty, which counts as not set"
    yield from _without_section(environment)
    yield from warnings_of(model.options)
    is_secure = model.endpoint.startswith("https:")
    if is_secure and not model.verify:
        yield (
            "model.verify is false: whatever certificate answers at model.endpoint is taken, so that anybody on the "
            "way can read and change the conversations"
        )
    if not is_secure and (model.ca_file is not None or not model.verify):
        yield "model.endpoint is not https: model.ca_file and model.verify have no effect"
    if is_secure and not model.verify and model.ca_file is not None:
        yield "model.verify is false: model.ca_file has no effect"


def _without_section(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each variable that lacks a setting's section: CLAWGATE_AUTH_TOKEN protects nothing."""
    by_key = {f"{ENVIRONMENT_PREFIX}{setting.key}".upper(): setting for setting in settings()}
    for variable, _ in own_variables(environment):
        if variable in by_key:
            meant = by_key[variable]
            yield f"{variable} has no effect: the variable of {meant.name} is {meant.variable}"
