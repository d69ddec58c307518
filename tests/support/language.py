"""The Chinese of what a command prints: every line for people that a test sees goes through here."""

from __future__ import annotations

import re

from clawgate.language.catalogue import catalogue


def assert_has_chinese(line: str) -> None:
    """Assert that an English line that a command prints has its Chinese, or is Chinese."""
    assert is_chinese(catalogue("zh").translated(line) or line), (
        f"clawgate/language/zh.json has no template for: {line}"
    )


def is_chinese(text: str) -> bool:
    """Tell whether a text has Chinese characters."""
    return re.search(r"[\u4e00-\u9fff]", text) is not None
