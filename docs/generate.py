"""`make docs`: writes config.yaml and the README's table of settings from the declarations.

tests/test_docs.py compares both files with what this module would write.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from clawgate.config import Setting, settings

ROOT = Path(__file__).parent.parent
BEGIN = "<!-- settings: `make docs` writes this table from clawgate/config/settings.py -->"
END = "<!-- /settings -->"
COMMENT_COLUMN = 38
MEBIBYTE = 1 << 20
HEAD = """\
# clawgate's configuration. Every key is optional; this file has the defaults, and the README says more of each key.
# An environment variable overrides a key: CLAWGATE_SERVER_PORT is server.port, and so on. `make docs` writes this file.
"""


def main() -> None:
    """Write both files."""
    readme = ROOT / "README.md"
    readme.write_text(with_table(readme.read_text(encoding="utf-8")), encoding="utf-8")
    (ROOT / "config.yaml").write_text("".join(config_file()), encoding="utf-8")


def with_table(text: str) -> str:
    """Return the README's text with the table of settings between its two marks."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{''.join(table())}\n{END}{after}"


def table() -> Iterator[str]:
    """Yield the lines of the README's table."""
    yield "| key | default | meaning |\n"
    yield "| --- | --- | --- |\n"
    for setting in settings():
        yield f"| `{setting.name}` | {in_markdown(setting.default)} | {setting.help}{_choices(setting)} |\n"


def config_file() -> Iterator[str]:
    """Yield the lines of config.yaml."""
    yield HEAD
    for section, members in groupby(settings(), lambda setting: setting.section):
        yield f"\n{section}:\n"
        for setting in members:
            pair = f"  {setting.key}: {in_yaml(setting.default)}".rstrip()
            yield f"{pair:<{COMMENT_COLUMN}}# {_size(setting)}{_summary(setting)}{_choices(setting)}\n"


def in_markdown(default: Any) -> str:
    """Write a default as the README has it."""
    return f"`{in_yaml(default)}`" if default is not None else "none"


def in_yaml(default: Any) -> str:
    """Write a default as config.yaml has it."""
    if default is None:
        return ""
    if isinstance(default, Mapping):
        return json.dumps(dict(default))
    return json.dumps(default) if isinstance(default, tuple | bool) or default == "" else str(default)


def _summary(setting: Setting) -> str:
    """Return the first sentence of the help, without Markdown."""
    return re.split(r"\. (?=[A-Z])", setting.help)[0].replace("`", "")


def _choices(setting: Setting) -> str:
    choices = get_args(setting.kind) if get_origin(setting.kind) is Literal else ()
    return f" ({', '.join(choices)})" if len(choices) > 1 else ""


def _size(setting: Setting) -> str:
    is_round = setting.key.endswith("_bytes") and setting.default % MEBIBYTE == 0
    return f"{setting.default // MEBIBYTE} MiB: " if is_round else ""


if __name__ == "__main__":
    main()
