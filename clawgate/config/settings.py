"""Every setting once: type, bounds, default, unit and help.

The declarations below feed the checks, their messages, the README's table (a test compares the two) and
`clawgate check`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

ENVIRONMENT_PREFIX = "CLAWGATE_"


def _help(text: str, *, expected: str = "", is_fixed: bool = False, **bounds: Any) -> Meta:
    """Describe a setting; is_fixed: what it shapes (the port, the threads) lasts as long as the process."""
    return Meta(description=text, extra={"expected": expected, "is_fixed": is_fixed}, **bounds)


class _Section(msgspec.Struct, frozen=True, kw_only=True):
    """One section of the file; what it allows is in its fields' annotations."""


class ModelConfig(_Section, frozen=True, kw_only=True):
    """Which model answers, and where it is."""

    provider: Annotated[Literal["ollama"], _help("the API that the endpoint speaks")] = "ollama"
    endpoint: Annotated[
        str, _help("base URL of Ollama", expected="an http:// or https:// URL without user, query or fragment")
    ] = "http://127.0.0.1:11434"
    model_name: Annotated[str, _help("the model that answers", min_length=1)] = "qwen3:32b"
    allowed_models: Annotated[
        tuple[str, ...], _help("further models that a request may name; anything else is refused")
    ] = ()


class ServerConfig(_Section, frozen=True, kw_only=True):
    """The gateway's own port and who may use it."""

    host: Annotated[str, _help("address to bind; `0.0.0.0` opens it up", is_fixed=True, min_length=1)] = "127.0.0.1"
    port: Annotated[
        int,
        _help(
            "port to bind; 0 takes a free one, and the line that is printed names it",
            expected="an integer from 1 to 65535",
            is_fixed=True,
            ge=0,
            le=65535,
        ),
    ] = 18789
    cors_allowed_origins: Annotated[
        tuple[str, ...],
        _help(
            'exact origins of other pages that may call the API, or `["*"]` for development',
            expected='origins like "https://chat.example.org", or "*"',
        ),
    ] = ()
    max_streams: Annotated[
        int,
        _help("answers in flight; beyond it 503 `busy`. Threads = this + a reserve", is_fixed=True, ge=1, le=10_000),
    ] = 100
    auth_token: Annotated[
        str | None,
        _help(
            "when set, `/api/*`, `/render` and `/setup` want `Authorization: Bearer …`",
            expected="a text of at least 8 visible ASCII characters",
        ),
    ] = None
    trusted_proxies: Annotated[
        tuple[str, ...],
        _help(
            "whose `X-Forwarded-For` and `X-Request-Id` count; addresses or networks",
            expected='addresses or networks like "10.0.0.0/8"',
        ),
    ] = ("127.0.0.1",)
    graceful_seconds: Annotated[float, _help("what running answers get at SIGTERM, in seconds", ge=0, le=86_400)] = 30
    trusted_hosts: Annotated[
        tuple[str, ...],
        _help(
            "when set, any other `Host` is refused; else a gateway bound to loopback takes local names and addresses",
            expected="a list of host names without port",
        ),
    ] = ()
    max_body_bytes: Annotated[
        int, _help("largest body of a chat, in bytes; the other routes take less", ge=1024, le=1 << 30)
    ] = 16 << 20
    workers: Annotated[
        int,
        _help("processes; sessions live in one process's memory, so it is 1", expected="1", is_fixed=True, ge=1, le=1),
    ] = 1


class LoggingConfig(_Section, frozen=True, kw_only=True):
    """What goes to stderr."""

    level: Annotated[
        Literal["debug", "info", "warning", "error", "critical"], _help("least severity that is logged")
    ] = "info"
    format: Annotated[Literal["text", "json"], _help("`text`, or `json`: one object a line")] = "text"


class StreamConfig(_Section, frozen=True, kw_only=True):
    """The timing of one answer."""

    heartbeat_seconds: Annotated[float, _help("a ping goes out every so many seconds", gt=0, le=3600)] = 5
    smoothing_ms: Annotated[int, _help("at most one text event in so many milliseconds; 0 = off", ge=0, le=10_000)] = (
        100
    )
    max_bad_frames: Annotated[int, _help("consecutive frames that do not parse before it gives up", ge=1, le=1000)] = 3
    stall_seconds: Annotated[
        float,
        _help("silence after the first frame before it gives up; at least 30 with `tools` or `format`", gt=0, le=3600),
    ] = 5
    first_frame_seconds: Annotated[
        float, _help("silence before the first frame (loading 20 GB takes minutes)", gt=0, le=86_400)
    ] = 300
    retry_seconds: Annotated[
        float, _help("how long an Ollama that is away is waited for; 0 = fail at once", ge=0, le=86_400)
    ] = 60
    unload_wedged: Annotated[bool, _help("unload the model and ask once more where a slot of Ollama's hangs")] = False


class SessionConfig(_Section, frozen=True, kw_only=True):
    """How much is remembered, and for how long."""

    max_sessions: Annotated[
        int, _help("idle sessions; beyond it the least recently used is forgotten", ge=1, le=10_000_000)
    ] = 100
    ttl_seconds: Annotated[float, _help("a session is forgotten so many seconds after its last use", gt=0)] = 1800
    max_context_bytes: Annotated[
        int, _help("what one session keeps, in bytes; oldest turns go first", ge=1024, le=1 << 30)
    ] = 1 << 20


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The whole configuration; `Config()` is the defaults."""

    model: ModelConfig = ModelConfig()
    server: ServerConfig = ServerConfig()
    logging: LoggingConfig = LoggingConfig()
    stream: StreamConfig = StreamConfig()
    session: SessionConfig = SessionConfig()


class Setting(NamedTuple):
    """One key as the README and the error messages show it."""

    section: str
    key: str
    type: Any
    default: Any
    help: str
    expected: str
    is_fixed: bool

    @property
    def name(self) -> str:
        """The dotted name, `server.port`."""
        return f"{self.section}.{self.key}"

    @property
    def variable(self) -> str:
        """The environment variable that overrides it, `CLAWGATE_SERVER_PORT`."""
        return f"{ENVIRONMENT_PREFIX}{self.section}_{self.key}".upper()

    def of(self, config: Config) -> Any:
        """Its value in a configuration."""
        return getattr(getattr(config, self.section), self.key)


def settings() -> Iterator[Setting]:
    """Yield every setting in the order of the declarations."""
    for section in msgspec.structs.fields(Config):
        hints = get_type_hints(section.type, include_extras=True)
        for field in msgspec.structs.fields(section.type):
            kind, meta = get_args(hints[field.name])[:2]
            expected, is_fixed = meta.extra["expected"] or _describe(kind, meta), meta.extra["is_fixed"]
            yield Setting(
                section.name, field.name, hints[field.name], field.default, meta.description, expected, is_fixed
            )


def _describe(kind: Any, meta: Meta) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(f'"{choice}"' for choice in get_args(kind))
    if get_origin(kind) is tuple:
        return "a list of texts"
    if kind is str:
        return "a text that is not empty"
    if kind is bool:
        return "true or false"
    noun = "an integer" if kind is int else "a number"
    low = meta.ge if meta.ge is not None else meta.gt
    if meta.le is not None:
        return f"{noun} from {low} to {meta.le}" if meta.gt is None else f"{noun} above {low} and up to {meta.le}"
    return f"{noun} above {low}"


class Change(NamedTuple):
    """What a reload makes of a new configuration: the one in force now, and the dotted names of what differs."""

    config: Config
    changed: tuple[str, ...]
    needs_restart: tuple[str, ...]


def changed(old: Config, new: Config) -> Change:
    """Take over from new what can change in a running process; the rest stays as it was and is named."""
    different = [setting for setting in settings() if setting.of(old) != setting.of(new)]
    kept: dict[str, dict[str, Any]] = {}
    for setting in different:
        if setting.is_fixed:
            kept.setdefault(setting.section, {})[setting.key] = setting.of(old)
    sections = {name: msgspec.structs.replace(getattr(new, name), **values) for name, values in kept.items()}
    return Change(
        msgspec.structs.replace(new, **sections),
        tuple(setting.name for setting in different if not setting.is_fixed),
        tuple(setting.name for setting in different if setting.is_fixed),
    )
