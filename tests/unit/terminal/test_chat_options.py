"""The options of `clawgate chat`: where the gateway is, whose token it gets, and what is wrong in one line."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from clawgate.cli import main
from clawgate.terminal import main as module
from clawgate.terminal.settings import Settings

TOKEN = "s3cr3t-token"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of ours."""
    for name in ("CLAWGATE_CONFIG", "CLAWGATE_TOKEN", "CLAWGATE_SERVER_AUTH_TOKEN", "CLAWGATE_SERVER_PORT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings that the client was run with; it does nothing."""
    found: list[Settings] = []

    def run(settings: Settings) -> int:
        found.append(settings)
        return 0

    monkeypatch.setattr(module, "run", run)
    return found


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A configuration with a token."""
    monkeypatch.setenv("CLAWGATE_CONFIG", "")  # `configure` sets it, and this undoes that
    file = tmp_path / "config.yaml"
    file.write_text(f"server: {{port: 4711, host: '::', path_prefix: /llm, auth_token: {TOKEN}}}\n")
    return str(file)


def test_without_options_the_defaults_count(given: list[Settings]) -> None:
    assert main(["chat"]) == 0
    assert given == [Settings("http://127.0.0.1:18789")]


def test_the_configuration_names_the_address_and_the_token(given: list[Settings], config: str) -> None:
    assert main(["chat", "--config", config]) == 0
    assert given[0][:2] == ("http://127.0.0.1:4711/llm", TOKEN)
    assert given[0].again == ("clawgate", "chat", "--config", config)


def test_a_variable_of_the_configuration_counts(given: list[Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAWGATE_SERVER_PORT", "4711")
    monkeypatch.setenv("CLAWGATE_TOKEN", TOKEN)
    assert main(["chat"]) == 0
    assert given[0][:2] == ("http://127.0.0.1:4711", TOKEN)


def test_the_token_of_a_configuration_goes_to_no_other_address_by_itself(
    given: list[Settings], config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAWGATE_CONFIG", config)
    assert main(["chat", "--url", "https://a.example"]) == 0
    assert main(["chat", "--url", "https://a.example", "--config", config]) == 0
    assert main(["chat", "--url", "https://a.example", "--config", config, "--token", "another-one"]) == 0
    assert [settings.token for settings in given] == [None, TOKEN, "another-one"]
    assert {settings.url for settings in given} == {"https://a.example"}


def test_the_wishes_go_with_every_question(given: list[Settings]) -> None:
    assert main(["chat", "--model", "m:1b", "--no-think", "--system", "Be brief.", "--plain", "--show-thinking"]) == 0
    assert given[0].wishes == {"model": "m:1b", "think": False}
    assert (given[0].system, given[0].is_plain, given[0].shows_thinking) == ("Be brief.", True, True)
    assert given[0].again == ("clawgate", "chat", "--model", "m:1b")
    assert main(["chat", "--url", "https://ann:p@ss@a.example/chat"]) == 0
    assert given[1].url == "https://ann:p@ss@a.example/chat"
    assert given[1].again == ("clawgate", "chat", "--url", "https://a.example/chat")


@pytest.mark.parametrize(
    ("question", "arguments", "words"),
    [
        (b"", (), "stdin: expected a question, got nothing"),
        (b" \n", (), "stdin: expected a question, got nothing"),
        (b"\xff", (), "stdin: expected utf-8 text (byte 0 is none)"),
        (b"Hi", ("--url", "localhost:1"), '--url: expected an address like "http://127.0.0.1:18789"'),
        (b"Hi", ("--token", "two words"), "--token: expected visible ASCII characters"),
        (b"Hi", ("--config", "absent.yaml"), "absent.yaml: cannot be read"),
        (b"Hi", ("--system", "x", "--session", "s"), "--system: expected a new conversation, got --session"),
        (None, (), "expected stdin, stdout and stderr, got a closed one"),
    ],
)
def test_wrong_usage_is_one_line(
    question: bytes | None,
    arguments: tuple[str, ...],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CLAWGATE_CONFIG", "")
    stdin = None if question is None else io.TextIOWrapper(io.BytesIO(question), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", stdin)
    assert main(["chat", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"clawgate: {words}")


@pytest.mark.parametrize(
    ("server", "words"),
    [
        ("host: 'unix:/run/x.sock'", "server.host is unix:/run/x.sock: expected --url"),
        ("port: 0", "server.port is 0: expected --url"),
    ],
)
def test_a_configuration_without_an_address_is_one_line(
    tmp_path: Path, server: str, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLAWGATE_CONFIG", "")
    config = tmp_path / "config.yaml"
    config.write_text(f"server: {{{server}}}\n")
    assert main(["chat", "--config", str(config)]) == 2
    assert words in capsys.readouterr().err
