"""Every setting once: type, bounds, default, unit and help; read from a YAML file and the environment, then frozen.

The declarations below feed the checks, their messages, the README's table (a test compares the two) and
`clawgate check`. `load` is called by wsgi.py, gunicorn_conf.py and cli.py, again at a reload; everything else is handed
the finished Config.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import msgspec
import yaml
from msgspec import Meta

from clawgate.errors import ConfigError

ENVIRONMENT_PREFIX = "CLAWGATE_"
HOST_NAME = r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*"
"""A host's name as browsers send it: letters of other alphabets are `xn--…` there."""


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


def load(path: str | os.PathLike[str] | None = None, environment: Mapping[str, str] | None = None) -> Config:
    """Read the file (none: all defaults), let the environment override it, check every value.

    Errors: ConfigError whose message is one line: file or variable, key, what was expected, what was found.
    """
    source = os.fspath(path) if path is not None else ""
    given = _read(Path(path)) if path is not None else {}
    known = list(settings())
    sections = _checked_sections(given, source, known)
    values: dict[str, dict[str, Any]] = {}
    for setting in known:
        if setting.key in sections.get(setting.section, {}):
            found = sections[setting.section][setting.key]
            values.setdefault(setting.section, {})[setting.key] = _checked(setting, found, f"{source}: {setting.name}")
    for setting, text in _from_environment(known, os.environ if environment is None else environment):
        found = _parse_variable(setting, text)
        values.setdefault(setting.section, {})[setting.key] = _checked(setting, found, setting.variable)
    return Config(
        **{section.name: section.type(**values.get(section.name, {})) for section in msgspec.structs.fields(Config)}
    )


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


class _Loader(yaml.SafeLoader):
    """YAML as a person means it: a key that is given twice is a mistake, not the end of the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping, refusing a key that it has already."""
        seen: set[Any] = set()
        for key, _ in node.value:
            if key.value in seen and isinstance(key.value, str):
                raise yaml.constructor.ConstructorError(None, None, f"`{key.value}` is given twice", key.start_mark)
            seen.add(key.value if isinstance(key.value, str) else id(key))
        return super().construct_mapping(node, deep)


def _read(path: Path) -> Any:
    try:
        with path.open(encoding="utf-8") as file:
            given = yaml.load(file, _Loader)
            return {} if given is None else given
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from error
    # PyYAML's own readers of numbers and dates raise the last three: `2024-99-99`, `!!int _`, `!!timestamp x`
    except (yaml.YAMLError, RecursionError, ValueError, IndexError, AttributeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        # an unquoted token that begins with * or ! would be in PyYAML's words
        problem = re.sub(r"(alias|tag) '.*'", r"\1", getattr(error, "problem", None) or "unreadable")
        raise ConfigError(f"{path}: is not YAML: {problem}{where}") from error


def _checked_sections(given: Any, source: str, known: list[Setting]) -> dict[str, dict[str, Any]]:
    if not isinstance(given, dict):
        raise ConfigError(f"{source}: expected sections like `server:`, got {_show(given)}")
    names = [section.name for section in msgspec.structs.fields(Config)]
    for name, section in given.items():
        if name not in names:
            raise ConfigError(f"{source}: {_on_one_line(name)}: unknown section{_nearest(name, names)}")
        if section is not None and not isinstance(section, dict):
            raise ConfigError(f"{source}: {name}: expected keys below it, got {_show(section)}")
    keys = [setting.name for setting in known]
    for name, section in given.items():
        for key in section or ():
            if f"{name}.{key}" not in keys:
                unknown = _on_one_line(f"{name}.{key}")
                raise ConfigError(f"{source}: {unknown}: unknown key{_nearest(unknown, keys)}")
    return {name: section or {} for name, section in given.items()}


def _nearest(name: object, known: list[str]) -> str:
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.0)
    return f"; the nearest known one is {near[0]}" if near else ""


def _from_environment(known: list[Setting], environment: Mapping[str, str]) -> Iterator[tuple[Setting, str]]:
    by_variable = {setting.variable: setting for setting in known}
    sections = tuple(f"{ENVIRONMENT_PREFIX}{section.name}_".upper() for section in msgspec.structs.fields(Config))
    for variable, text in environment.items():
        if variable in by_variable:
            yield by_variable[variable], text
        elif variable.startswith(sections):
            raise ConfigError(f"{variable}: unknown setting{_nearest(variable, list(by_variable))}")


def _parse_variable(setting: Setting, text: str) -> Any:
    """Read a variable's text as the file would have given it: a number, a boolean, a list with commas, or the text."""
    kind = get_args(setting.type)[0]
    if get_origin(kind) is tuple:
        return [item.strip() for item in text.split(",") if item.strip()]
    if kind is bool:
        return {"true": True, "false": False}.get(text.strip().lower(), text)
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            return text
    return text


def _checked(setting: Setting, value: Any, where: str) -> Any:
    """Convert one value to its setting's type, or raise the one-line ConfigError."""
    kind = get_args(setting.type)[0]
    if value is None:  # `key:` with nothing behind it is YAML's null: the default, as if the line were absent
        return setting.default
    if get_origin(kind) is tuple and isinstance(value, str):
        value = [value]
    if get_origin(kind) is Literal and isinstance(value, str):
        value = value.lower()
    try:
        converted = msgspec.convert(value, setting.type)
        msgspec.json.encode(converted)  # bytes of a variable that are no text would fail in every request
        return _REFINE[setting.name](converted) if setting.name in _REFINE else converted
    except (msgspec.ValidationError, ValueError) as error:
        shown = "a text that is not usable" if _is_secret(setting, value) else _show(value)
        raise ConfigError(f"{where}: expected {setting.expected}, got {shown}{_hint(setting.name)}") from error


def _hint(name: str) -> str:
    if name == "server.workers":
        return "; more than 1 needs session.backend: redis, which this version does not have"
    return ""


def _is_secret(setting: Setting, value: Any) -> bool:
    return setting.name == "server.auth_token" or (setting.name == "model.endpoint" and "@" in str(value))


def _show(value: Any) -> str:
    try:
        shown = str(value) if isinstance(value, float) else msgspec.json.encode(value, enc_hook=str).decode()
    except (UnicodeEncodeError, RecursionError):  # bytes that are no text in a variable; a list that holds itself
        shown = ascii(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}…"


def _on_one_line(name: object) -> str:
    return str(name).encode("unicode_escape", "backslashreplace").decode() if not str(name).isprintable() else str(name)


def _base_url(url: str) -> str:
    parts = urlsplit(url)
    is_more = re.search(r"[?#\s]", url) is not None or parts.username is not None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0 or is_more:
        raise ValueError(url)
    return url.rstrip("/")


def _origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    if any(origin != "*" and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/\s?#]+/?", origin) for origin in origins):
        raise ValueError(origins)
    return tuple(origin.rstrip("/") for origin in origins)


def _token(token: str) -> str:
    if not re.fullmatch(r"[!-~]{8,}", token):
        raise ValueError
    return token


def _hosts(hosts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(_host, hosts))


def _host(host: str) -> str:
    if re.fullmatch(HOST_NAME, host.removesuffix(".")):
        return host.lower().removesuffix(".")
    return str(ipaddress.IPv6Address(host.strip("[]")))  # a ValueError for what is neither a name nor an address


def _networks(proxies: tuple[str, ...]) -> tuple[str, ...]:
    for proxy in proxies:
        ipaddress.ip_network(proxy)  # a ValueError also for a network with host bits set, which is a slip
    return proxies


_REFINE: dict[str, Any] = {
    "model.endpoint": _base_url,
    "server.cors_allowed_origins": _origins,
    "server.auth_token": _token,
    "server.trusted_hosts": _hosts,
    "server.trusted_proxies": _networks,
}
