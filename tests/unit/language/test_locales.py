"""The language and the charset of an environment, and the line in that language."""

from __future__ import annotations

import io
import time

import pytest

from clawgate.language import adapt, spoken
from clawgate.language.catalogue import MOST, Catalogue, catalogue
from clawgate.language.locales import charset_of, language_of

LINE = "ok: model qwen3:32b"
CHINESE = "正常：模型 qwen3:32b"


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, "en"),
        ({"LANG": ""}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN"}, "zh"),
        ({"LANG": "zh"}, "zh"),
        ({"LANG": "zh_SG.UTF-8@pinyin"}, "zh"),
        ({"LANG": "zh_TW.UTF-8"}, "zh"),
        ({"LANG": "zha_CN.UTF-8"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LC_MESSAGES": "zh_CN.UTF-8", "LANG": "en_US.UTF-8"}, "zh"),
        ({"LC_MESSAGES": "en_US.UTF-8", "LANG": "zh_CN.UTF-8"}, "en"),
        ({"LC_MESSAGES": "", "LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LC_ALL": "C", "LC_MESSAGES": "zh_CN.UTF-8", "LANG": "zh_CN.UTF-8"}, "en"),
        ({"LC_ALL": "zh_CN.UTF-8", "LANG": "C"}, "zh"),
        ({"LC_CTYPE": "zh_CN.UTF-8"}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LANGUAGE": "zh_CN:zh"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LANGUAGE": "en"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LANGUAGE": "fr:zh:en"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LANGUAGE": "fr"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LANGUAGE": ""}, "zh"),
        ({"LANG": "POSIX", "LANGUAGE": "zh"}, "en"),
        ({"LC_ALL": "C.UTF-8", "LANG": "zh_CN.UTF-8", "LANGUAGE": "zh_CN:zh"}, "en"),
        ({"LANGUAGE": "zh"}, "en"),
    ],
)
def test_the_environment_chooses_the_language(environment: dict[str, str], language: str) -> None:
    assert language_of(environment) == language


@pytest.mark.parametrize(
    ("environment", "charset"),
    [
        ({}, None),
        ({"LANG": "zh_CN"}, None),
        ({"LANG": "zh_CN.GB2312"}, "GB2312"),
        ({"LANG": "zh_CN.GB18030@x"}, "GB18030"),
        ({"LANG": "zh_CN.GB2312", "LC_CTYPE": "C.UTF-8"}, "GB2312"),
        ({"LANG": "zh_CN.UTF-8", "LC_CTYPE": "zh_CN.GBK"}, "GBK"),
        ({"LC_ALL": "zh_CN.GBK", "LANG": "zh_CN.UTF-8"}, "GBK"),
        ({"LANG": "zh_CN.GB2312", "PYTHONIOENCODING": "utf-8"}, None),
    ],
)
def test_the_environment_names_the_charset(environment: dict[str, str], charset: str | None) -> None:
    assert charset_of(environment) == charset


@pytest.fixture
def chinese(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A Chinese locale."""
    for name in ("LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "PYTHONIOENCODING", "PYTHONUTF8"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    return monkeypatch


@pytest.mark.usefixtures("chinese")
@pytest.mark.parametrize(
    ("charset", "line"),
    [("utf-8", CHINESE), ("gb2312", CHINESE), ("gb18030", CHINESE), ("ascii", LINE), ("latin-1", LINE), ("big5", LINE)],
)
def test_what_cannot_write_chinese_gets_english(charset: str, line: str) -> None:
    assert spoken(LINE, io.TextIOWrapper(io.BytesIO(), charset)) == line


@pytest.mark.parametrize("locale", ["zh_TW.Big5", "zh_CN.ISO-8859-1", "zh_CN.nonsense"])
def test_a_terminal_whose_charset_lacks_chinese_gets_english(chinese: pytest.MonkeyPatch, locale: str) -> None:
    """The system may lack the locale's own data: then Python writes UTF-8."""
    chinese.setenv("LANG", locale)
    assert spoken(LINE, io.TextIOWrapper(io.BytesIO(), "utf-8")) == LINE


@pytest.mark.usefixtures("chinese")
def test_a_line_that_is_not_known_stays_as_it_is() -> None:
    assert spoken("Server started on :18789") == "Server started on :18789"
    assert spoken(f"ok: model {'x' * MOST}") == f"ok: model {'x' * MOST}"


@pytest.mark.parametrize(
    ("locale", "charset", "errors"),
    [
        ("zh_CN.GB2312", "gb2312", "backslashreplace"),
        ("zh_CN.nonsense", "utf-8", "backslashreplace"),
        ("zh_CN.rot13", "utf-8", "backslashreplace"),
        ("zh_CN.hex", "utf-8", "backslashreplace"),
        ("zh_CN.idna", "utf-8", "backslashreplace"),
        ("zh_CN.UTF-16", "utf-8", "backslashreplace"),
        ("zh_CN.ISO-8859-1", "utf-8", "backslashreplace"),
        ("de_DE.ISO-8859-1", "utf-8", "backslashreplace"),
    ],
)
def test_an_output_takes_every_character(chinese: pytest.MonkeyPatch, locale: str, charset: str, errors: str) -> None:
    chinese.setenv("LANG", locale)
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, "utf-8")
    adapt(stream)
    assert (stream.encoding.lower(), stream.errors) == (charset, errors)
    stream.write("简体 \udcff 🦊")
    stream.flush()
    assert written.getvalue().decode(charset).startswith("简体 \\udcff ")


def test_an_output_that_is_closed_or_no_text_is_left_alone() -> None:
    adapt(None)
    adapt(io.StringIO())


def test_a_phrase_is_translated_and_a_value_is_not() -> None:
    words = Catalogue(
        {"LINE": {"{WHO} saw {what}": "{what}<{WHO}"}, "WHO": {"a cat": "猫", "{name} the cat": "{name}猫"}}
    )
    assert words.translated("a cat saw a cat") == "a cat<猫"
    assert words.translated("Tom saw the cat saw a dog") == "a dog<Tom saw猫"
    assert words.translated("Tom the cat saw a dog saw it") == "a dog saw it<Tom猫"
    assert words.translated("a dog saw a cat") is None


@pytest.mark.parametrize(
    "piece",
    ["expected ", ": ", "; ", ": ; ", "cannot listen on unix:", "(", '"a" or ', " (see `: expected , got "],
)
def test_no_line_takes_long(piece: str) -> None:
    began_s = time.thread_time()
    for start in ("", "clawgate: ", "clawgate: x: expected ", "not ready: ", "What answers at ", "warning: "):
        catalogue("zh").translated(start + piece * ((MOST - len(start)) // len(piece)))
    assert time.thread_time() - began_s < 3


@pytest.mark.parametrize("value", ["{model}", "\\g<0> %s %(model)s", "a\nb", "，：", "ok: model x"])
def test_a_value_stays_as_it_is(value: str) -> None:
    assert catalogue("zh").translated(f"ok: model {value}") == f"正常：模型 {value}"
    line = f'clawgate: {value}: expected an integer from 1 to 2, got "{value}"'
    assert catalogue("zh").translated(line) == f'clawgate: {value}：应为 1 到 2 的整数，却是 "{value}"'
