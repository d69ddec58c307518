"""The documents and config.yaml agree with the code: nothing undocumented, nothing that is not there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest
import yaml

from clawgate import create_app
from clawgate import errors as tree
from clawgate.config import Config, gateway_settings, load, settings
from clawgate.config.written import config_file
from clawgate.errors import CannotContinue, ClawgateError, ConfigError, UpstreamFailure, UpstreamRefused
from clawgate.relay import events
from clawgate.web.api import sse
from clawgate.web.door.chat_body import ChatBody
from docs import generate
from tests.support.tools import ROOT

SETTINGS = list(settings())
IDS = [setting.name for setting in SETTINGS]
FIXED = [setting.name for setting in gateway_settings() if setting.is_fixed]
"""What a reload of the gateway cannot change; docs/bots.md says what one of a bot cannot."""
WIDTH = 120


@cache
def document(name: str) -> str:
    """A document's text."""
    return (ROOT / name).read_text(encoding="utf-8")


def readme() -> str:
    """The README's text."""
    return document("README.md")


def api() -> str:
    """The text of the API's reference."""
    return document("docs/api.md")


def section(title: str, text: str) -> str:
    """The part of a text under a heading, up to the next of its level or above."""
    depth = 0
    lines: list[str] = []
    for line in text.splitlines():
        heading = re.match(r"(#+) (.*)", line)
        if depth and heading and len(heading[1]) <= depth:
            break
        if depth:
            lines.append(line)
        elif heading and heading[2] == title:
            depth = len(heading[1])
    assert lines, f"there is no section {title!r}"
    return "\n".join(lines)


def rows(title: str, text: str) -> dict[str, list[str]]:
    """The rows of the tables in a section, by their first cell."""
    lines = [line for line in section(title, text).splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {row[0]: row for row in cells if set(row[0]) != {"-"}}


def shown(default: Any) -> str:
    """A default as the README writes it."""
    if default is None:
        return "none"
    if isinstance(default, Mapping):
        return f"`{json.dumps(dict(default))}`"
    return (
        f"`{json.dumps(default, ensure_ascii=False)}`"
        if isinstance(default, tuple | bool) or default == ""
        else f"`{default}`"
    )


DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "bench/*.md", "tests/*/*.md")
    for path in ROOT.glob(pattern)
)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_to_a_file_and_a_heading(name: str) -> None:
    text = re.sub(r"```.*?```", "", document(name), flags=re.S)
    links = re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"", text)
    wrong = [
        link for pair in links for link in pair if link and not re.match(r"https?:", link) and not _leads(name, link)
    ]
    assert not wrong, f"{name}: {wrong}"


def _leads(name: str, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (ROOT / name).parent / path if path else ROOT / name
    if not anchor:
        return target.exists()
    return target.is_file() and anchor in {_anchor(title) for title in headings(target.read_text(encoding="utf-8"))}


MADE = "dist/"
"""The folder of the artefacts, which a fresh checkout lacks."""


def test_every_path_that_the_guide_for_contributors_names_exists() -> None:
    named = set(re.findall(r"`([\w.-]+/[\w./-]*|[\w-]+\.(?:py|yaml|cfg|md))`", document("CONTRIBUTING.md")))
    assert len(named) > 40
    assert {name for name in named - {MADE} if not (ROOT / name).exists()} == set()


def test_every_place_that_the_guide_for_contributors_names_is_in_its_file() -> None:
    """A step like "`MARKS` in `tests/test_docs.py`" is checked as far as it names a place."""
    text = " ".join(document("CONTRIBUTING.md").split())
    places = re.findall(r"`(\w+)` (?:in|of) `([\w./-]+\.\w+)`", text)
    assert len(places) >= 10
    assert [place for place in places if not re.search(rf"\b{place[0]}\b", document(place[1]))] == []


def headings(text: str) -> list[str]:
    """The titles of a document's sections."""
    return re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.S), re.M)


def _anchor(title: str) -> str:
    """A heading's anchor as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def test_what_is_generated_is_up_to_date() -> None:
    assert generate.with_table(readme(), generate.table) == readme(), "README.md, Settings: run `make docs`"
    chinese = document("README.zh-CN.md")
    assert generate.with_table(chinese, generate.chinese_table) == chinese, "README.zh-CN.md, 设置: run `make docs`"
    file = (ROOT / "config.yaml").read_text(encoding="utf-8")
    assert "".join(config_file()) == file, "config.yaml: run `make docs`"
    assert max(map(len, file.splitlines())) <= WIDTH, "the first sentence of a setting's help is too long"


def test_the_readme_has_every_setting_with_its_default() -> None:
    table = rows("Settings", readme())
    wrong = []
    for setting in SETTINGS:
        row = table.get(f"`{setting.name}`")
        if row is None or len(row) != 3 or not row[2]:
            wrong.append(f"a row `{setting.name}`, {shown(setting.default)}, and what it means")
        elif row[1] != shown(setting.default):
            wrong.append(f"the default of `{setting.name}` is {shown(setting.default)}, not {row[1]}")
    assert not wrong, "README.md, Settings:\n" + "\n".join(wrong)


def test_the_readme_has_no_setting_that_is_not_there() -> None:
    named = [cell.strip("`") for cell in rows("Settings", readme()) if cell.startswith("`")]
    assert set(named) - set(IDS) == set()
    assert named == IDS, "README.md, Settings: the order of the declarations"
    elsewhere = set(re.findall(r"`((?:model|server|logging|stream|session|bots)\.[a-z_]+)`", readme() + api()))
    assert elsewhere - set(IDS) == set(), "README.md or docs/api.md names settings that are not there"


def test_the_readme_names_what_a_reload_cannot_change() -> None:
    rule = next(line for line in section("Settings", readme()).split("\n\n") if "SIGHUP" in line)
    named = re.findall(r"`(\w+\.\w+)`", rule)
    assert named == FIXED, "README.md, Settings, the sentence about SIGHUP: what is is_fixed, in that order"


def test_the_readme_has_the_rules_of_the_environment() -> None:
    text = " ".join(section("Settings", readme()).split())
    for rule in ("environment variable", "CLAWGATE_SERVER_PORT", "separated by commas"):
        assert rule in text, f"README.md, Settings: {rule!r} is missing"
    known = {setting.variable for setting in SETTINGS} | {"CLAWGATE_CONFIG", "CLAWGATE_SECTION_KEY"}
    assert set(re.findall(r"CLAWGATE_[A-Z_]+", readme())) - known == set(), (
        "README.md names variables that are not there"
    )
    assert "CLAWGATE_CONFIG" in readme()


def routes() -> Iterator[tuple[str, str]]:
    """Yield the method and path of every route."""
    for rule in create_app().url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"}):
            yield method, rule.rule


def test_the_api_document_has_every_route() -> None:
    missing = [f"{method} {path}" for method, path in routes() if not _is_named(method, path)]
    assert not missing, "docs/api.md says nothing of\n" + "\n".join(missing)


def _is_named(method: str, path: str) -> bool:
    if path.startswith("/static/"):
        return "/static/" in api()
    if path.startswith("/ollama/api/"):  # the same routes again
        path = path.removeprefix("/ollama")
    pattern = re.escape(path).replace("<session_id>", "<[a-z_]+>")
    named = re.findall(rf"(?:`|## |, )([A-Z, `]+) {pattern}(?![\w/])", api())
    return method in re.findall(r"[A-Z]{3,}", " ".join(named))


def test_the_api_document_has_no_route_that_is_not_there() -> None:
    there = {re.sub(r"<.*?>", "<>", path) for _, path in routes()}
    named = re.findall(r"(?:GET|HEAD|POST|DELETE|PUT|OPTIONS) (/[^\s`)]*)", api())
    assert {re.sub(r"<.*?>", "<>", path) for path in named} - there == set()


def errors() -> dict[str, int]:
    """Every code that an answer can carry, with its status."""

    def below(kind: type[ClawgateError]) -> Iterator[type[ClawgateError]]:
        yield kind
        for each in kind.__subclasses__():
            yield from below(each)

    return {kind.code: kind.status for kind in below(ClawgateError) if kind is not ConfigError}


def test_the_api_document_has_every_error_code_with_its_status() -> None:
    lines = section("Error codes", api()).splitlines()
    wrong = [
        f"one row that begins with | {status} | has `{code}`"
        for code, status in errors().items()
        if [line.startswith(f"| {status} |") for line in lines if f"`{code}`" in line] != [True]
    ]
    assert not wrong, "docs/api.md, Error codes:\n" + "\n".join(wrong)


def test_the_tree_of_errors_is_drawn_with_every_class_and_its_status() -> None:
    drawing = (tree.__doc__ or "").splitlines()
    missing = [
        f"{kind.__name__} {kind.status}"
        for kind in vars(tree).values()
        if isinstance(kind, type) and issubclass(kind, ClawgateError) and not kind.__subclasses__()
        if kind is not ConfigError and not any(_is_drawn(line, kind) for line in drawing)
    ]
    assert not missing, "clawgate/errors.py, the drawing"


def _is_drawn(line: str, kind: type[ClawgateError]) -> bool:
    return re.search(rf"── {kind.__name__} +{kind.status}\b", line) is not None


def test_the_page_has_words_for_every_error_that_can_end_an_answer() -> None:
    for language in ("en", "zh"):
        name = f"clawgate/static/words.{language}.json"
        words = json.loads(document(name))
        kinds: list[type[ClawgateError]] = [*UpstreamFailure.__subclasses__(), UpstreamRefused, CannotContinue]
        wanted = {f"error.{kind.code}{part}" for kind in kinds for part in ("", ".hint")}
        assert wanted <= set(words), name


def test_the_api_document_has_no_error_code_that_is_not_there() -> None:
    named = re.findall(r"^\| \d{3} \| (.*?) \|", section("Error codes", api()), re.M)
    wrong = {code for cell in named for code in re.findall(r"`(\w+)`", cell)} ^ set(errors())
    assert not wrong, "docs/api.md, Error codes"


MARKS: dict[type[events.Event], str] = {
    events.Started: '`{"session_id": "sess_',
    events.Text: '`{"message": "',
    events.Thinking: '`{"thinking": "',
    events.ToolCalls: '`{"tool_calls": [',
    events.Ping: "`" + sse.PING.decode().removeprefix("data: ").strip() + "`",
    events.Waiting: '`{"status": "waiting", "reason": "upstream_unreachable", "attempt": ',
    events.Resumed: '`{"status": "resumed", "message": ""}`',
    events.Restarted: '"restarted"',
    events.Reset: '`{"status": "reset", "session_id": ',
    events.Ended: '`{"done": true, "done_reason": "stop", ',
}


def test_every_kind_of_event_has_its_mark_here() -> None:
    unmarked = set(MARKS) ^ set(events.Event.__subclasses__())
    assert not unmarked, "MARKS in this file: how each event's row in docs/api.md begins"


def test_the_api_document_has_every_kind_of_event() -> None:
    missing = [mark for mark in MARKS.values() if mark not in section("POST /api/chat", api())]
    assert not missing, "docs/api.md, POST /api/chat, events:\n" + "\n".join(missing)


def test_the_api_document_has_the_error_event_and_every_reason_of_an_end() -> None:
    assert '`{"error": {"code": ' in section("POST /api/chat", api())
    for reason in ("stop", "length", "interrupted", "superseded", "truncated", "error"):
        assert f"`{reason}`" in api(), f"docs/api.md: the done_reason `{reason}`"


def test_the_api_document_has_every_field_of_a_chat() -> None:
    named = " ".join(rows("POST /api/chat", api()))
    missing = [field for field in ChatBody.__struct_encode_fields__ if f"`{field}`" not in named]
    assert not missing, f"docs/api.md, POST /api/chat: the fields {missing}"


@cache
def in_file() -> dict[str, dict[str, Any]]:
    """The content of config.yaml, commented keys included."""
    text = (ROOT / "config.yaml").read_text(encoding="utf-8")
    uncommented = re.sub(r"^(\s*)# ?(?=[a-z_]+:(\s|$))", r"\1", text, flags=re.M)
    found = yaml.safe_load(uncommented)
    assert isinstance(found, dict)
    return found


def test_the_file_has_every_setting_with_its_default() -> None:
    wrong = []
    for setting in SETTINGS:
        found = (in_file().get(setting.section) or {}).get(setting.key, "missing")
        if (tuple(found) if isinstance(found, list) else found) != setting.default:
            wrong.append(f"{setting.name}: {setting.default}, not {found}")
    assert not wrong, "config.yaml:\n" + "\n".join(wrong)


def test_the_file_has_no_setting_that_is_not_there() -> None:
    assert {f"{name}.{key}" for name, keys in in_file().items() for key in keys or {}} == set(IDS)


def test_the_file_loads_and_changes_nothing() -> None:
    assert load(ROOT / "config.yaml", {}) == Config()
