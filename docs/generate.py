"""`make docs`: writes config.yaml and the table of settings in both READMEs from the declarations.

The Chinese meaning of each setting is in settings.zh.json. tests/test_docs.py compares the files with what this module
would write.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from clawgate.config import settings
from clawgate.config.written import choices_of, config_file, in_yaml

ROOT = Path(__file__).parent.parent
BEGIN = "<!-- settings: `make docs` writes this table from clawgate/config/settings.py -->"
END = "<!-- /settings -->"
CHINESE = ROOT / "docs" / "settings.zh.json"


def main() -> None:
    """Write all of them."""
    for readme, write in ((ROOT / "README.md", table), (ROOT / "README.zh-CN.md", chinese_table)):
        readme.write_text(with_table(readme.read_text(encoding="utf-8"), write), encoding="utf-8")
    (ROOT / "config.yaml").write_text("".join(config_file()), encoding="utf-8")


def with_table(text: str, write: Callable[[], Iterator[str]]) -> str:
    """Return a README's text with the table of settings between its two marks."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{''.join(write())}\n{END}{after}"


def table() -> Iterator[str]:
    """Yield the lines of README.md's table."""
    yield "| key | default | meaning |\n"
    yield "| --- | --- | --- |\n"
    for setting in settings():
        yield f"| `{setting.name}` | {in_markdown(setting.default)} | {setting.help}{choices_of(setting)} |\n"


def chinese_table() -> Iterator[str]:
    """Yield the lines of README.zh-CN.md's table.

    Errors: KeyError for a setting without a meaning in Chinese.
    """
    meanings = json.loads(CHINESE.read_text(encoding="utf-8"))
    yield "| 键 | 默认值 | 含义 |\n"
    yield "| --- | --- | --- |\n"
    for setting in settings():
        default = in_markdown(setting.default) if setting.default is not None else "无"
        choices = choices_of(setting).replace(" (", "（").replace(")", "）").replace(", ", "、")
        yield f"| `{setting.name}` | {default} | {meanings[setting.name]}{choices} |\n"


def in_markdown(default: Any) -> str:
    """Write a default as the README has it."""
    return f"`{in_yaml(default)}`" if default is not None else "none"


if __name__ == "__main__":
    main()
