"""The configuration from a YAML file and the environment, checked and then frozen.

`load` is called by wsgi.py, gunicorn_conf.py and cli.py, again at a reload; everything else is handed the finished
Config.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_origin

import msgspec
import yaml

from clawgate.config.agreement import check_agreement
from clawgate.config.authorities import UnusableAuthorities
from clawgate.config.checks import WrongPart
from clawgate.config.declaration import ENVIRONMENT_PREFIX, Setting
from clawgate.config.environment import check_quotes, own_variables, quotes_stay
from clawgate.config.settings import Config, sections, settings
from clawgate.errors import ConfigError

UNREADABLE = (yaml.YAMLError, RecursionError, ValueError, IndexError, AttributeError)
"""Reading YAML raises these; PyYAML's own readers of numbers and dates the last three: `2024-99-99`, `!!int _`."""
_WIDE_QUOTED = re.compile(
    r"[\u201c\u201d\uff02].*[\u201c\u201d\uff02]|[\u2018\u2019\uff07].*[\u2018\u2019\uff07]", re.DOTALL
)
_WIDE_COLON = re.compile(r"^[^\S\n]*(\w+)[^\S\n]*\uff1a", re.MULTILINE)
"""Punctuation of an input method for Chinese: to YAML it is letters."""


def load(path: str | os.PathLike[str] | None = None, environment: Mapping[str, str] | None = None) -> Config:
    """Read the file (none: all defaults), let the environment override it, check every value.

    Errors: ConfigError whose message is one line: file or variable, key, what was expected, what was found.
    """
    source = os.fspath(path or "").strip()  # CLAWGATE_CONFIG may be set and empty
    given = _read(Path(source)) if source else {}
    known = list(settings())
    in_file = _checked_sections(given, source, known)
    values: dict[str, dict[str, Any]] = {}
    places: dict[str, str] = {}

    def take(setting: Setting, found: Any, place: str) -> None:
        values.setdefault(setting.section, {})[setting.key] = _checked(setting, found, place)
        places[setting.name] = place

    for setting in known:
        if setting.key in in_file.get(setting.section, {}):
            take(setting, in_file[setting.section][setting.key], f"{source}: {setting.name}")
    for setting, text in _from_environment(known, os.environ if environment is None else environment):
        take(setting, _parse_variable(setting, text), setting.variable)
    config = Config(**{name: section(**values.get(name, {})) for name, section in sections().items()})
    check_agreement(config, places)
    return config


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
        text = path.read_text(encoding="utf-8")
        _check_colons(text, path)
        given = yaml.load(text, _Loader)
        return {} if given is None else given
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from error
    except UNREADABLE as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        # an unquoted token that begins with * or ! would be in PyYAML's words
        problem = re.sub(r"(alias|tag) '.*'", r"\1", getattr(error, "problem", None) or "unreadable")
        raise ConfigError(f"{path}: is not YAML: {problem}{where}") from error


def _check_colons(text: str, path: Path) -> None:
    known = {*sections(), *(setting.key for setting in settings())}
    for found in _WIDE_COLON.finditer(text):
        if found[1] in known:
            line = text.count("\n", 0, found.end()) + 1
            raise ConfigError(
                f"{path}: the colon after `{found[1]}` is a full-width one; write `:` and a blank (line {line})"
            )


def _checked_sections(given: Any, source: str, known: list[Setting]) -> dict[str, dict[str, Any]]:
    if not isinstance(given, dict):
        raise ConfigError(f"{source}: expected sections like `server:`, got {_show(given)}")
    names = list(sections())
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
    ours = tuple(f"{ENVIRONMENT_PREFIX}{name}_".upper() for name in sections())
    for variable, text in own_variables(environment):
        if variable in by_variable:
            setting = by_variable[variable]
            check_quotes(variable, text)
            if text or setting.is_mapping or get_origin(setting.kind) is tuple:  # else an empty one is not set
                yield setting, text
        elif variable.startswith(ours):
            raise ConfigError(f"{variable}: unknown setting{_nearest(variable, list(by_variable))}")


def _parse_variable(setting: Setting, text: str) -> Any:
    """Read a variable's text as the file would have given it.

    A number, a boolean, a list with commas, a mapping in YAML or JSON (which is YAML, too), or the text.
    """
    kind = setting.kind
    if setting.is_mapping:
        return _parse_mapping(text)
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


def _parse_mapping(text: str) -> Any:
    try:
        return yaml.load(text, _Loader) if text.strip() else {}
    except UNREADABLE:
        return text


def _checked(setting: Setting, value: Any, where: str) -> Any:
    """Convert one value to its setting's type, or raise the one-line ConfigError."""
    if value is None:  # `key:` with nothing behind it is YAML's null: the default, as if the line were absent
        return setting.default
    if get_origin(setting.kind) is tuple and isinstance(value, str):
        value = [value]
    if get_origin(setting.kind) is Literal and isinstance(value, str):
        value = value.lower()
    texts = [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)]
    if any(map(_WIDE_QUOTED.fullmatch, texts)):
        raise quotes_stay(where)
    try:
        converted = msgspec.convert(value, setting.type)
        msgspec.json.encode(converted)  # bytes of a variable that are no text would fail in every request
        return setting.check.convert(converted) if setting.check else converted
    except WrongPart as error:
        place = f"{where}.{_on_one_line(error.name)}" if error.name else where
        raise ConfigError(f"{place}: expected {error.expected}, got {_show(error.found)}") from error
    except (msgspec.ValidationError, ValueError, RecursionError) as error:
        shown = "a text that is not usable" if setting.hides(value) else _show(value)
        hint = f"; {setting.hint}" if setting.hint else ""
        why = f", {error}" if isinstance(error, UnusableAuthorities) else ""
        raise ConfigError(f"{where}: expected {setting.expected}, got {shown}{why}{hint}") from error


def _show(value: Any) -> str:
    try:
        shown = str(value) if isinstance(value, float) else msgspec.json.encode(value, enc_hook=str).decode()
    except (UnicodeEncodeError, RecursionError):  # bytes that are no text in a variable; a list that holds itself
        shown = ascii(value)
    shown = _on_one_line(shown)
    return shown if len(shown) <= 80 else f"{shown[:77]}…"


def _on_one_line(name: object) -> str:
    return str(name).encode("unicode_escape", "backslashreplace").decode() if not str(name).isprintable() else str(name)
