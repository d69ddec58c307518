"""Every setting once: default, help, bounds, and the check that goes beyond them.

The declarations feed the file's and the environment's checks, their messages, the setup page, config.yaml and the
README's table. After a change here run `make docs`; a test compares.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_type_hints

from clawgate.config.bots import BotsConfig
from clawgate.config.checks import (
    authorities,
    base_url,
    bind_address,
    hosts,
    networks,
    origins,
    path_prefix,
    redis_prefix,
    redis_url,
    token,
)
from clawgate.config.declaration import NONE, Setting, setting, settings_of
from clawgate.config.options import options


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The model that answers, and its address."""

    provider: Literal["ollama"] = setting("ollama", "API that the endpoint speaks")
    endpoint: str = setting("http://127.0.0.1:11434", "base URL of Ollama", check=base_url, secret_mark="@")
    model_name: str = setting("qwen3:32b", "model that answers", min_length=1)
    ca_file: str | None = setting(
        None,
        "PEM file of authorities for an https endpoint, or a folder. They are the only ones then that may sign its "
        "certificate; without it the system's may, or where it has none those of certifi",
        check=authorities,
    )
    verify: bool = setting(
        True,
        "check the certificate of an https endpoint. With `false` any is taken, so that anybody on the way can read "
        "and change the conversations; the gateway warns of it at its start",
    )
    options: Mapping[str, Any] = setting(
        NONE,
        "Ollama's options for every request, like `{num_ctx: 16384, num_predict: 4096}`. A request's own win, name by "
        "name. Known ones are checked by type; Ollama gets any other as it is, with a warning at the start",
        check=options,
    )
    allowed_models: tuple[str, ...] = setting((), "further models that a request may name; any other is refused")


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """The gateway's own port, and the clients that may use it."""

    host: str = setting(
        "127.0.0.1",
        "address to bind; `0.0.0.0` opens it up. A Unix socket for a proxy on this machine is "
        "`unix:/run/clawgate/clawgate.sock`: `server.port` does not count then, and every local user that may enter "
        "its folder can connect, and counts as a trusted proxy",
        check=bind_address,
        is_fixed=True,
    )
    port: int = setting(
        18789,
        "port to bind; 0 takes a free one, and the line that is printed names it",
        expected="an integer from 1 to 65535",
        is_fixed=True,
        ge=0,
        le=65535,
    )
    cors_allowed_origins: tuple[str, ...] = setting(
        (), 'exact origins of other pages that may call the API, or `["*"]` for development', check=origins
    )
    max_streams: int = setting(
        100,
        "answers in flight; one more gets 503 `busy`. Threads = this + a reserve, so that interrupt, health and the "
        "page answer while every stream is taken",
        is_fixed=True,
        ge=1,
        le=10_000,
    )
    auth_token: str | None = setting(
        None,
        "token that `/api/*`, `/render` and `/setup` want. Clients send it as `Authorization: Bearer …` or as "
        "`X-Clawgate-Token`, and the page asks for it once. Keep it in `CLAWGATE_SERVER_AUTH_TOKEN`",
        check=token,
        is_secret=True,
    )
    trusted_proxies: tuple[str, ...] = setting(
        ("127.0.0.1",),
        "proxies whose `X-Forwarded-For`, `X-Forwarded-Host` and `X-Request-Id` count. Addresses or networks like "
        "`10.0.0.0/8`; the forwarded host is only shown, on the setup page",
        check=networks,
    )
    graceful_seconds: float = setting(30, "seconds that running answers get at SIGTERM", ge=0, le=86_400)
    trusted_hosts: tuple[str, ...] = setting(
        (),
        "host names to serve (DNS rebinding); empty: local ones on loopback, else any. With a list, any other `Host` "
        "is refused. Without one, a gateway bound to loopback takes `localhost`, names below it and IP addresses only; "
        "one bound to another address takes every name, and warns at the start. The shipped nginx has the list in its "
        "`server_name` and passes on `localhost`: leave this empty behind it, or put `localhost` in",
        check=hosts,
    )
    max_body_bytes: int = setting(16 << 20, "largest body of a chat; the other routes take less", ge=1024, le=1 << 30)
    path_prefix: str = setting(
        "",
        "path under which a proxy serves the gateway, like `/chat`. The proxy may take it off or leave it, and the "
        "port itself answers with it and without. In another Flask application its `url_prefix` counts instead",
        check=path_prefix,
    )
    workers: int = setting(
        1,
        "processes; more than 1 needs `session.backend: redis`. Each adds `server.max_streams` answers to those in "
        "flight; one for each core is enough",
        is_fixed=True,
        ge=1,
        le=64,
    )


@dataclass(frozen=True, kw_only=True)
class LoggingConfig:
    """The log on stderr."""

    level: Literal["debug", "info", "warning", "error", "critical"] = setting("info", "least severity that is logged")
    format: Literal["text", "json"] = setting("text", "form of the log; `json` writes one object a line")


@dataclass(frozen=True, kw_only=True)
class StreamConfig:
    """The timing of one answer."""

    heartbeat_seconds: float = setting(5, "seconds from one ping to the next", gt=0, le=3600)
    smoothing_ms: int = setting(
        100,
        "at most one text event in so many milliseconds; 0 = off. Up to four times as long while the gateway has more "
        "answers to write than it can",
        ge=0,
        le=10_000,
    )
    max_bad_frames: int = setting(3, "consecutive frames that do not parse before an answer is given up", ge=1, le=1000)
    stall_seconds: float = setting(
        5,
        "silence after the first frame before an answer is given up. At least 30 with `tools` or `format`: Ollama "
        "holds frames back then",
        gt=0,
        le=3600,
    )
    first_frame_seconds: float = setting(
        300, "silence before the first frame; loading a 20 GB model takes minutes", gt=0, le=86_400
    )
    max_answer_seconds: float = setting(
        0,
        "seconds from its first frame after which an answer ends as `length`; 0 = no limit. The time that a lost "
        "Ollama is waited for counts, too. `num_predict` in `model.options` limits the tokens instead",
        ge=0,
        le=86_400,
    )
    retry_seconds: float = setting(
        60, "seconds that an answer waits for an Ollama that is away; 0 = fail at once", ge=0, le=86_400
    )
    detach_seconds: float = setting(
        30,
        "seconds that an answer goes on without any reader; 0 = it stops at once. It does so where its request has "
        "`on_disconnect: detach`, so that somebody can come back to it",
        ge=0,
        le=86_400,
    )
    unload_wedged: bool = setting(
        False,
        "unload the model and ask once more where a slot of Ollama's hangs. A slot hangs when the model is loaded and "
        "nothing comes",
    )


@dataclass(frozen=True, kw_only=True)
class SessionConfig:
    """The conversations that are kept, and for how long."""

    backend: Literal["memory", "redis"] = setting(
        "memory",
        "place of the sessions. With `redis` they outlive a restart, and several processes and machines share them; it "
        "needs `pip install 'clawgate[redis]'`",
        is_fixed=True,
    )
    redis_url: str | None = setting(
        None,
        "address of that Redis, like `redis://127.0.0.1:6379/0`. With TLS it is "
        "`rediss://user:password@host:6380/0`, for a Unix socket `unix:///run/redis/redis.sock`. One with a password "
        "belongs into `CLAWGATE_SESSION_REDIS_URL`",
        check=redis_url,
        is_fixed=True,
        is_secret=True,
    )
    redis_prefix: str = setting(
        "clawgate",
        "word before every key in Redis. Gateways with the same one share their sessions",
        check=redis_prefix,
        is_fixed=True,
    )
    redis_required: bool = setting(
        True,
        "refuse new answers while Redis is away, with 503 `session_store_unavailable`. With `false` new conversations, "
        "and requests with their full history, are answered without being kept",
    )
    max_sessions: int = setting(
        100,
        "idle sessions; beyond it the least recently used is forgotten. It also goes when all together take more than "
        "this × `max_context_bytes`, or their pictures more than this × `max_image_bytes`. Sessions with an answer in "
        "flight count apart",
        ge=1,
        le=10_000_000,
    )
    ttl_seconds: float = setting(1800, "seconds from its last use until a session is forgotten", gt=0)
    max_context_bytes: int = setting(
        1 << 20,
        "bytes of text that one session keeps; the oldest turns go first. System messages and the last turn stay. "
        "With those, one session takes messages up to this + `server.max_body_bytes`; its last answer may come on top. "
        "The start event says how many turns went, `dropped_turns`",
        ge=1024,
        le=1 << 30,
    )
    max_image_bytes: int = setting(
        16 << 20,
        "bytes of pictures, as base64, that one session keeps. The oldest go first, all of one message together; their "
        "text stays, and so do the pictures of system messages and of the last turn, up to this + "
        "`server.max_body_bytes`. All idle sessions may take `max_sessions` × this: lower it if memory is scarce",
        ge=0,
        le=1 << 30,
    )


@dataclass(frozen=True, kw_only=True)
class Config:
    """The whole configuration; `Config()` is the defaults."""

    model: ModelConfig = ModelConfig()
    server: ServerConfig = ServerConfig()
    logging: LoggingConfig = LoggingConfig()
    stream: StreamConfig = StreamConfig()
    session: SessionConfig = SessionConfig()
    bots: BotsConfig = dataclasses.field(default_factory=BotsConfig)


def sections() -> dict[str, type]:
    """Return the class of each section by its name."""
    return get_type_hints(Config)


def settings() -> Iterator[Setting]:
    """Yield every setting in the order of the declarations."""
    for name, section in sections().items():
        yield from settings_of(name, section)


def gateway_settings() -> Iterator[Setting]:
    """Yield those that the gateway obeys: the section `bots` is of processes with an environment of their own."""
    yield from (each for each in settings() if each.section != "bots")


class Change(NamedTuple):
    """The outcome of a reload: the configuration in force now, and the dotted names of the settings that differ."""

    config: Config
    changed: tuple[str, ...]
    needs_restart: tuple[str, ...]


def change_between(old: Config, new: Config) -> Change:
    """Take over from new what can change in a running gateway; the rest stays as it was and is named."""
    different = [each for each in gateway_settings() if each.of(old) != each.of(new)]
    kept: dict[str, dict[str, Any]] = {}
    for each in different:
        if each.is_fixed:
            kept.setdefault(each.section, {})[each.key] = each.of(old)
    in_force = {name: dataclasses.replace(getattr(new, name), **values) for name, values in kept.items()}
    return Change(
        dataclasses.replace(new, **in_force),
        tuple(each.name for each in different if not each.is_fixed),
        tuple(each.name for each in different if each.is_fixed),
    )
