"""`make docs`: writes config.yaml and the README's table of settings from the declarations.

tests/test_docs.py compares both files with what this module would write.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clawgate.config import settings
from clawgate.config.written import choices_of, config_file, in_yaml

ROOT = Path(__file__).parent.parent
BEGIN = "<!-- settings: `make docs` writes this table from clawgate/config/settings.py -->"
END = "<!-- /settings -->"


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
        yield f"| `{setting.name}` | {in_markdown(setting.default)} | {setting.help}{choices_of(setting)} |\n"


def in_markdown(default: Any) -> str:
    """Write a default as the README has it."""
    return f"`{in_yaml(default)}`" if default is not None else "none"


if __name__ == "__main__":
    main()
