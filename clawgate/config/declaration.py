"""The declaration of a setting, as a field of its section, and its form for the rest of clawgate.

    port: int = setting(18789, "port to bind", ge=0, le=65535, is_fixed=True)

The default comes first, then the help. config.yaml shows the first sentence of the help, the README all of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from msgspec import Meta

from clawgate.config.checks import Check

ENVIRONMENT_PREFIX = "CLAWGATE_"
T = TypeVar("T")


def setting(
    default: T,
    help: str,
    *,
    check: Check | None = None,
    expected: str = "",
    hint: str = "",
    is_fixed: bool = False,
    is_secret: bool = False,
    secret_mark: str = "",
    **bounds: Any,
) -> T:
    """Declare a setting.

    `check` refines a value of the right type. `expected` replaces the words that an error derives from the check, the
    type and the bounds; `hint` follows them. A reload cannot change what `is_fixed`. Nothing shows the value of what
    `is_secret`, nor a value that contains `secret_mark`. `bounds` are msgspec's: `ge`, `gt`, `le`, `min_length`.
    """
    metadata = {
        "help": help,
        "bounds": Meta(**bounds),
        "check": check,
        "expected": expected or (check.expected if check else ""),
        "hint": hint,
        "is_fixed": is_fixed,
        "is_secret": is_secret,
        "secret_mark": secret_mark,
    }
    if isinstance(default, Mapping):  # dataclasses take it for mutable
        return dataclasses.field(default_factory=lambda: default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


NONE: Mapping[str, Any] = MappingProxyType({})
"""The default of a setting that is a mapping."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting as the file, the environment, the error messages and the documents know it."""

    section: str
    key: str
    kind: Any
    default: Any
    help: str
    bounds: Meta
    check: Check | None
    expected: str
    hint: str
    is_fixed: bool
    is_secret: bool
    secret_mark: str

    @property
    def name(self) -> str:
        """The dotted name, `server.port`."""
        return f"{self.section}.{self.key}"

    @property
    def variable(self) -> str:
        """The environment variable that overrides it, `CLAWGATE_SERVER_PORT`."""
        return f"{ENVIRONMENT_PREFIX}{self.section}_{self.key}".upper()

    @property
    def is_mapping(self) -> bool:
        """True where its value is a mapping of names to values."""
        return get_origin(self.kind) is Mapping

    @property
    def type(self) -> Any:
        """Its kind with the bounds, for msgspec."""
        return Annotated[self.kind, self.bounds]

    def of(self, config: object) -> Any:
        """Return its value in a configuration."""
        return getattr(getattr(config, self.section), self.key)

    def hides(self, value: object) -> bool:
        """Tell whether this value of it may not be shown."""
        return self.is_secret or (self.secret_mark != "" and self.secret_mark in str(value))


def settings_of(name: str, section: type) -> Iterator[Setting]:
    """Yield the settings that a section declares, in their order."""
    kinds = get_type_hints(section)
    for field in dataclasses.fields(section):
        kind, declared = kinds[field.name], dict(field.metadata)
        declared["expected"] = declared["expected"] or _describe(kind, declared["bounds"])
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        yield Setting(section=name, key=field.name, kind=kind, default=default, **declared)


def _describe(kind: Any, bounds: Meta) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(f'"{choice}"' for choice in get_args(kind))
    if get_origin(kind) is tuple:
        return "a list of texts"
    if kind is str:
        return "a text that is not empty"
    if kind is bool:
        return "true or false"
    return _describe_number("an integer" if kind is int else "a number", bounds)


def _describe_number(noun: str, bounds: Meta) -> str:
    if bounds.le is None:
        return f"{noun} above {bounds.gt}"
    if bounds.gt is not None:
        return f"{noun} above {bounds.gt} and up to {bounds.le}"
    return f"{noun} from {bounds.ge} to {bounds.le}" if bounds.ge != bounds.le else f"{bounds.le}"
