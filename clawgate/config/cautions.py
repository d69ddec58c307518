"""Warnings about a configuration that is valid.

The gateway logs them at its start and at a reload, `clawgate check` prints them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import parse_qs, urlsplit

from clawgate.addresses import is_loopback, is_loopback_address
from clawgate.config.declaration import ENVIRONMENT_PREFIX
from clawgate.config.environment import own_variables
from clawgate.config.options import warnings_of
from clawgate.config.settings import Config, SessionConfig, gateway_settings, settings


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
    for setting in gateway_settings():
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
    yield from _about_redis(config.session)


def _about_redis(session: SessionConfig) -> Iterator[str]:
    """Yield a sentence for each thing about session.redis_url, without any part of it."""
    if session.redis_url is None:
        return
    if session.backend != "redis":
        yield "session.backend is memory: session.redis_url has no effect"
        return
    url = urlsplit(session.redis_url)
    options = parse_qs(url.query)
    host = (url.hostname or "").lower()
    is_here = host == "localhost" or host.endswith(".localhost") or is_loopback_address(host)
    if url.scheme == "redis" and not is_here and (url.password or "password" in options):
        yield (
            "session.redis_url sends its password to another host without TLS: anybody on the way can read it, and the "
            "conversations; use rediss://"
        )
    if url.scheme == "rediss" and options.get("ssl_cert_reqs") == ["none"]:
        yield (
            "session.redis_url has ssl_cert_reqs=none: whatever certificate answers there is taken, so that anybody on "
            "the way can read and change the conversations"
        )


def _without_section(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each variable that lacks a setting's section: CLAWGATE_AUTH_TOKEN protects nothing."""
    by_key = {f"{ENVIRONMENT_PREFIX}{setting.key}".upper(): setting for setting in settings()}
    for variable, _ in own_variables(environment):
        if variable in by_key:
            meant = by_key[variable]
            yield f"{variable} has no effect: the variable of {meant.name} is {meant.variable}"
