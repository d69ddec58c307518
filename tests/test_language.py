"""Every sentence that a command can print has its Chinese: the rooms' own strings are compared with the catalogue."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from typing import get_args

import pytest

from clawgate.config import ServerConfig, Setting, settings
from clawgate.errors import UntrustedHost
from clawgate.language.catalogue import catalogue
from clawgate.ollama.finding import Finding, Kind, described
from clawgate.web.door.hosts import Hosts
from tests.support.language import assert_has_chinese, is_chinese
from tests.support.tools import ROOT

WORDY = {
    "bots/check",
    "config/agreement",
    "config/authorities",
    "config/cautions",
    "config/checks",
    "config/declaration",
    "config/environment",
    "config/load",
    "config/options",
    "embedded/assembly",
    "embedded/gguf",
    "embedded/weights",
    "ollama/finding",
    "ports",
    "redis/asking",
    "redis/checking",
    "redis/failures",
    "unix_socket",
    "up",
}
"""Modules whose strings with a blank in them are sentences for the operator, or parts of one."""
SPEAKERS = {
    "ArgumentError",
    "ArgumentTypeError",
    "ConfigError",
    "Denied",
    "EngineFailed",
    "TakenOver",
    "_complain",
    "announce",
    "complain",
    "expects",
    "spoken",
    "tell",
}
"""In every other module, what stands in a call of these is one."""
READ = {
    "'([\\w|-]+)' command",
    "alias|tag) '.*'",
    "Authentication required",
    "DB index is out of range",
    "Embedded model (\\S+) on (http://\\S+)",
    "Server started on (?::(\\d+)|unix:)",
    "against a read only replica",
    "bad base64 decode",
    "certificate required",
    "handshake failure",
    "invalid password",
    "invalid username-password pair",
    "key values mismatch",
    "loading the dataset",
    "max number of clients",
    "no certificate or crl found",
    "no start line",
    "pem lib",
    "protected mode",
    "unknown command",
    "used memory > 'maxmemory'",
    "without any password configured",
}
"""Words of others, which are looked for."""
UNSEEN = {
    "Open http": "{address} in the catalogue",
    "a process": "a name",
    "a string longer than the head of any model": "it becomes another sentence",
    "another address": "for a chat's client",
    "pip install 'clawgate[embedded]'": "a command",
    "the answer is not whole": "`clawgate chat` speaks English",
    "a context of": "for a chat's client",
    "tokens, and truncate is false": "for a chat's client",
    "llama.cpp does not count the prompt's tokens": "for a chat's client",
    "tokens does not take the model's template": "for a chat's client",
    "the server is shutting down": "for a chat's client",
    "the user": "a part of a sentence",
    "what answers at model.endpoint": "for a chat's client",
}
"""Strings that are no sentence of these commands, and why."""
OF_OTHERS = ("SYSTEM", "USAGE")
"""Groups whose English is the C library's and argparse's."""
FOR_SCRIPTS = {"Bot connected to ", "Server started on "}
"""What scripts wait for."""
COMPOSED = {
    "a number above",
    "a number from",
    "give it its keys in the ACL",
    "got a text that is not usable",
    "in your browser. Ctrl-C ends it.",
    "it is held by a process of the user",
    "it is held by a process of the user with the id",
    "one argument",
    "or install Ollama and run `ollama pull",
    "or set XDG_CACHE_HOME to a folder that may be written",
    "use `clawgate embedded --weights FILE.gguf` with",
    "open the address of the proxy in front of it. Ctrl-C ends it.",
}
"""Pieces that the code puts together of several strings, and one of argparse's."""
FIELD = re.compile(r"\{(\w+)\}")
SETTINGS = list(settings())


@cache
def templates() -> tuple[tuple[str, str, str], ...]:
    """The catalogue: group, English, Chinese."""
    return tuple((name, *pair) for name, group in catalogue("zh").groups.items() for pair in group.items())


def pieces(text: str, stops: str = ';:(),"') -> Iterator[str]:
    """Yield the parts of a sentence between fields and stops that have more than one word."""
    for part in re.split(rf"\{{\w*\}}|[{stops}]" if stops else r"\{\w*\}", text):
        piece = part.strip(" ;:(/")
        if re.search(r"[A-Za-z]{2}", piece) and " " in piece:
            yield piece


@cache
def known() -> str:
    """The English of the catalogue, as far as possible as the code writes it."""
    english = [english for _, english, _ in templates()]
    expected = [f'expected {each}, got ""' for each in catalogue("zh").groups["EXPECTED"]]
    return "\0".join([*english, *expected, *(each.replace("{place}", "session.redis_url") for each in english)])


@cache
def sentences() -> frozenset[tuple[str, str]]:
    """Each module with what its sentences have between fields: a stop that is changed is seen, too."""
    return frozenset((module, piece) for module, text in _texts() for piece in pieces(text, stops=""))


def _texts() -> Iterator[tuple[str, str]]:
    for path in sorted((ROOT / "clawgate").rglob("*.py")):
        module = path.relative_to(ROOT / "clawgate").with_suffix("").as_posix()
        source = path.read_text(encoding="utf-8")
        if module in WORDY:
            yield from ((module, text) for text in _strings(ast.parse(source)))
        elif any(f"{name}(" in source for name in SPEAKERS):
            calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
            spoken = [call for call in calls if ast.unparse(call.func).rpartition(".")[2] in SPEAKERS]
            yield from ((module, text) for call in spoken for text in _strings(call))


def _strings(root: ast.AST) -> Iterator[str]:
    """Yield the strings below a node but the docstrings, an f-string in its literal parts."""
    for node in ast.walk(root):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value.value = None
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_every_sentence_in_the_code_is_in_the_catalogue() -> None:
    let_pass = READ | UNSEEN.keys()
    missing = {place for place in sentences() if place[1] not in known() and place[1] not in let_pass}
    assert not missing, "clawgate/language/zh.json: a template with its Chinese for each of these"


def test_every_sentence_in_the_catalogue_is_in_the_code() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "clawgate").rglob("*.py"))
    said = re.sub(r'"\s+f?"', "", source).lower()
    ours = [english for group, english, _ in templates() if group not in OF_OTHERS]
    gone = {piece for english in ours for piece in pieces(english) if piece.lower() not in said}
    assert gone == COMPOSED, "clawgate/language/zh.json has a template too many"


def test_what_is_said_to_people_is_said_in_their_language() -> None:
    """`say` prints as it is: only what scripts wait for goes there without `spoken`."""
    said = [
        line for path in (ROOT / "clawgate").rglob("*.py") for line in _said_as_it_is(path.read_text(encoding="utf-8"))
    ]
    assert len(said) == len(FOR_SCRIPTS)
    assert {words for words in FOR_SCRIPTS if any(words in each for each in said)} == FOR_SCRIPTS


def _said_as_it_is(source: str) -> list[str]:
    calls = [ast.unparse(node) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [call for call in calls if call.startswith("say(") and not call.startswith("say(spoken(")]


def test_no_string_that_is_let_pass_is_gone() -> None:
    assert (READ | UNSEEN.keys()) - {piece for _, piece in sentences()} == set()


def test_every_template_has_chinese_and_the_same_fields_once() -> None:
    for group, english, chinese in templates():
        fields = FIELD.findall(english)
        assert len(fields) == len(set(fields)), english
        assert sorted(FIELD.findall(chinese)) == sorted(fields), english
        assert is_chinese(chinese) or not re.search(r"[a-z] [a-z]", FIELD.sub("", english)), (group, english)


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_finding_has_its_chinese(kind: Kind) -> None:
    line = described(Finding(kind, "a; b (c): d"), "http://127.0.0.1:11434")
    assert_has_chinese(f"not ready: {line}")
    assert_has_chinese(f"{line[0].upper()}{line[1:]}.")


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: str(setting.name))
def test_what_is_expected_of_every_setting_has_its_chinese(setting: Setting) -> None:
    line = f"clawgate: config.yaml: {setting.name}: expected {setting.expected}, got {{a: b}}"
    said = catalogue("zh").translated(line)
    assert said is not None
    assert said.startswith(f"clawgate: config.yaml: {setting.name}：应为")
    assert "expected" not in said
    assert said.endswith("却是 {a: b}")


@pytest.mark.parametrize(
    ("line", "chinese"),
    [
        ("no gateway answers at http://a:1: connection refused", "http://a:1 处没有网关应答：连接被拒绝"),
        ("no gateway answers at http://a:1: a reason of others", "http://a:1 处没有网关应答：a reason of others"),
        (
            "WeCom: no connection to wss://a: [Errno 111] Connection refused",
            "连接不上 wss://a：连接被拒绝（errno 111）",
        ),
        ("DingTalk: DingTalk, open: it does not answer in time", "钉钉：钉钉接口 open：没有及时应答"),
        ("DingTalk: DingTalk, open: 429 a code", "钉钉：钉钉接口 open：429 a code"),
    ],
)
def test_the_reason_of_a_bots_failure_is_chinese_too(line: str, chinese: str) -> None:
    said = catalogue("zh").translated(f"not ready: {line}")
    assert said is not None
    assert said.endswith(chinese)


@pytest.mark.parametrize("server", [ServerConfig(), ServerConfig(trusted_hosts=("chat.example.org",))])
def test_a_gateway_that_does_not_know_its_name_is_told_of_in_chinese(server: ServerConfig) -> None:
    with pytest.raises(UntrustedHost) as refusal:
        Hosts(server, is_own_port=True).check("bots.example.org")
    assert_has_chinese(f"not ready: {refusal.value}")
