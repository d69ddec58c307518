"""config.yaml as text, from the declarations: every setting with its default and the first sentence of its help.

`make docs` writes the checkout's file by it, and `clawgate files config.yaml` prints it where there is no checkout.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any, Literal, get_args, get_origin

from clawgate.config.declaration import Setting
from clawgate.config.settings import settings

COMMENT_COLUMN = 38
MEBIBYTE = 1 << 20
HEAD = """\
# clawgate's configuration. Every key is optional; this file has the defaults, and the README says more of each key.
# An environment variable overrides a key: CLAWGATE_SERVER_PORT is server.port, and so on.
"""


def config_file() -> Iterator[str]:
    """Yield the lines of config.yaml."""
    yield HEAD
    for section, members in groupby(settings(), lambda setting: setting.section):
        yield f"\n{section}:\n"
        for setting in members:
            pair = f"  {setting.key}: {in_yaml(setting.default)}".rstrip()
            yield f"{pair:<{COMMENT_COLUMN - 1}} # {_size(setting)}{_summary(setting)}{choices_of(setting)}\n"


def in_yaml(default: Any) -> str:
    """Write a default as config.yaml has it."""
    if default is None:
        return ""
    if isinstance(default, Mapping):
        return json.dumps(dict(default))
    return (
        json.dumps(default, ensure_ascii=False) if isinstance(default, tuple | bool) or default == "" else str(default)
    )


def choices_of(setting: Setting) -> str:
    """Return the values that a setting may have, in brackets; nothing where they are not counted up."""
    choices = get_args(setting.kind) if get_origin(setting.kind) is Literal else ()
    return f" ({', '.join(choices)})" if len(choices) > 1 else ""


def _summary(setting: Setting) -> str:
    """Return the first sentence of the help, without Markdown."""
    return re.split(r"\. (?=[A-Z])", setting.help)[0].replace("`", "")


def _size(setting: Setting) -> str:
    is_round = setting.key.endswith("_bytes") and setting.default % MEBIBYTE == 0
    return f"{setting.default // MEBIBYTE} MiB: " if is_round else ""
