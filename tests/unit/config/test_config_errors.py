"""A wrong configuration is refused in one line: the place, the expected value, the value found."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from clawgate.config import load, settings
from clawgate.config.checks import MAX_SOCKET_PATH_BYTES
from clawgate.errors import ConfigError
from tests.support.language import assert_has_chinese

URL = "an http:// or https:// URL without user, query or fragment"
ADDRESS = (
    "an address or a name, without scheme, port or brackets, or unix: and an absolute path of at most "
    f"{MAX_SOCKET_PATH_BYTES} bytes"
)
REDIS = "a redis://, rediss:// or unix:// URL, like redis://127.0.0.1:6379/0"
PATH = 'a path like "/chat", of letters, digits and -._~, without query'
GATEWAY = "an http:// or https:// URL, like http://127.0.0.1:18789"
OPEN_API = "an https:// URL without user, query or fragment; http:// on this machine alone"
SOCKET = "a wss:// URL without user; ws:// on this machine alone"
CREDENTIAL = "visible ASCII characters without blanks; digits alone want quotes in the file"
WORDS = "a list of at least one word, each with a letter or a digit in it, divided by ASCII commas"
IDS = "a list of IDs without blanks, divided by ASCII commas; one of digits alone wants quotes in the file"
ORIGINS = 'origins like "https://chat.example.org", or "*"'


def complaint(monkeypatch: pytest.MonkeyPatch, folder: Path, content: str | bytes) -> str:
    """The message about a config.yaml, which lies in the working directory."""
    monkeypatch.chdir(folder)
    Path("config.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    return message_of("config.yaml", {})


def message_of(path: str | None, environment: dict[str, str]) -> str:
    """The one line that a configuration is refused with."""
    with pytest.raises(ConfigError) as caught:
        load(path, environment)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 300
    assert_has_chinese(f"clawgate: {caught.value.message}")
    return caught.value.message


@pytest.mark.parametrize(
    ("content", "expected", "shown"),
    [
        ("server: {port: abc}", "an integer from 1 to 65535", '"abc"'),
        ("server: {port: true}", "an integer from 1 to 65535", "true"),
        ("server: {port: 8080.0}", "an integer from 1 to 65535", "8080.0"),
        ('server: {port: "8080"}', "an integer from 1 to 65535", '"8080"'),
        ("server: {port: 65536}", "an integer from 1 to 65535", "65536"),
        ("server: {port: -1}", "an integer from 1 to 65535", "-1"),
        ("server: {port: [1]}", "an integer from 1 to 65535", "[1]"),
        ("server: {port: &a [*a]}", "an integer from 1 to 65535", "[[...]]"),
        ("server: {port: 2024-01-01}", "an integer from 1 to 65535", '"2024-01-01"'),
        ("server: {port: " + "9" * 100 + "}", "an integer from 1 to 65535", "9" * 77 + "…"),
        ('server: {host: ""}', ADDRESS, '""'),
        ("server: {host: 1}", ADDRESS, "1"),
        ("server: {host: 'unix:gate.sock'}", ADDRESS, '"unix:gate.sock"'),
        ("server: {host: /run/gate.sock}", ADDRESS, '"/run/gate.sock"'),
        ("server: {host: 'Unix:/run/gate.sock'}", ADDRESS, '"Unix:/run/gate.sock"'),
        ("server: {host: 'http://0.0.0.0'}", ADDRESS, '"http://0.0.0.0"'),
        ("server: {host: 'localhost:8080'}", ADDRESS, '"localhost:8080"'),
        ("server: {host: '[::1]'}", ADDRESS, '"[::1]"'),
        ("server: {host: '*'}", ADDRESS, '"*"'),
        ("server: {cors_allowed_origins: [chat.example.org]}", ORIGINS, '["chat.example.org"]'),
        ('server: {cors_allowed_origins: ["https://a/b"]}', ORIGINS, '["https://a/b"]'),
        ("server: {cors_allowed_origins: {a: b}}", ORIGINS, '{"a":"b"}'),
        ("server: {cors_allowed_origins: [null]}", ORIGINS, "[null]"),
        ("server: {max_streams: 0}", "an integer from 1 to 10000", "0"),
        ("server: {max_streams: 10001}", "an integer from 1 to 10000", "10001"),
        ("server: {graceful_seconds: -1}", "a number from 0 to 86400", "-1"),
        ("server: {graceful_seconds: soon}", "a number from 0 to 86400", '"soon"'),
        *(
            (f"server: {{path_prefix: '{path}'}}", PATH, f'"{path}"')
            for path in (
                "chat",
                "/chat?a",
                "/chat#a",
                "/a/../b",
                "/.",
                "//a",
                "/a//b",
                "/ä",
                "/a b",
                "/%61",
                "http://a/b",
            )
        ),
        ("server: {path_prefix: 1}", PATH, "1"),
        ("server: {trusted_hosts: [1]}", "a list of host names without port", "[1]"),
        ("server: {trusted_hosts: ['a:80']}", "a list of host names without port", '["a:80"]'),
        ("server: {trusted_hosts: ['*.example.org']}", "a list of host names without port", '["*.example.org"]'),
        ("server: {trusted_hosts: [bücher.example]}", "a list of host names without port", '["bücher.example"]'),
        ("server: {max_body_bytes: 1023}", "an integer from 1024 to 1073741824", "1023"),
        ("model: {provider: openai}", '"ollama"', '"openai"'),
        ("model: {endpoint: 1}", URL, "1"),
        ("model: {endpoint: localhost:11434}", URL, '"localhost:11434"'),
        ("model: {endpoint: ftp://h}", URL, '"ftp://h"'),
        ("model: {endpoint: http://}", URL, '"http://"'),
        ("model: {endpoint: http://h:0}", URL, '"http://h:0"'),
        ("model: {endpoint: http://h:65536}", URL, '"http://h:65536"'),
        ("model: {endpoint: 'http://h/x?y=z'}", URL, '"http://h/x?y=z"'),
        ("model: {endpoint: 'http://h?'}", URL, '"http://h?"'),
        ("model: {endpoint: 'http://h#'}", URL, '"http://h#"'),
        ("model: {endpoint: http://a b}", URL, '"http://a b"'),
        ("model: {endpoint: 'http://[::1'}", URL, '"http://[::1"'),
        ("model: {endpoint: 'http://*:11434'}", URL, '"http://*:11434"'),
        ("model: {endpoint: http://gpu..example}", URL, '"http://gpu..example"'),
        ("model: {endpoint: http://.gpu}", URL, '"http://.gpu"'),
        ("model: {endpoint: 'http://gpu%20a'}", URL, '"http://gpu%20a"'),
        (f"model: {{endpoint: http://{'a' * 64}.b}}", URL, f'"http://{"a" * 64}.b"'),
        ('model: {endpoint: "http://h/\\u202e"}', URL, '"http://h/\\u202e"'),
        ('model: {endpoint: "http://h\\u0001/"}', URL, '"http://h\\u0001/"'),
        ('model: {model_name: ""}', "a text that is not empty", '""'),
        ('model: {model_name: "\\ud800"}', "a text that is not empty", "'\\ud800'"),
        ("model: {allowed_models: [1]}", "a list of texts", "[1]"),
        ("logging: {level: off}", '"debug" or "info" or "warning" or "error" or "critical"', "false"),
        ("logging: {level: loud}", '"debug" or "info" or "warning" or "error" or "critical"', '"loud"'),
        ("logging: {format: xml}", '"text" or "json"', '"xml"'),
        ("stream: {heartbeat_seconds: 0}", "a number above 0 and up to 3600", "0"),
        ("stream: {stall_seconds: .inf}", "a number above 0 and up to 3600", "inf"),
        ("stream: {stall_seconds: .nan}", "a number above 0 and up to 3600", "nan"),
        ("stream: {max_answer_seconds: -1}", "a number from 0 to 86400", "-1"),
        ("stream: {max_answer_seconds: 1h}", "a number from 0 to 86400", '"1h"'),
        ("stream: {smoothing_ms: -1}", "an integer from 0 to 10000", "-1"),
        ("stream: {smoothing_ms: 1.5}", "an integer from 0 to 10000", "1.5"),
        ("stream: {max_bad_frames: 0}", "an integer from 1 to 1000", "0"),
        ("server: {workers: 0}", "an integer from 1 to 64", "0"),
        ("server: {workers: 65}", "an integer from 1 to 64", "65"),
        ("session: {backend: valkey}", '"memory" or "redis"', '"valkey"'),
        ('session: {redis_prefix: ""}', "a word of at most 64 letters, digits and ._-", '""'),
        ("session: {redis_prefix: 'a:b'}", "a word of at most 64 letters, digits and ._-", '"a:b"'),
        ("session: {redis_prefix: 'a*'}", "a word of at most 64 letters, digits and ._-", '"a*"'),
        ("session: {redis_required: never}", "true or false", '"never"'),
        ("session: {max_sessions: 0}", "an integer from 1 to 10000000", "0"),
        ("session: {ttl_seconds: 0}", "a number above 0", "0"),
        ("session: {max_context_bytes: 1}", "an integer from 1024 to 1073741824", "1"),
        ("session: {max_image_bytes: -1}", "an integer from 0 to 1073741824", "-1"),
        ("bots: {gateway_url: 'http://h/?a'}", GATEWAY, '"http://h/?a"'),
        ("bots: {gateway_url: 127.0.0.1:18789}", GATEWAY, '"127.0.0.1:18789"'),
        ("bots: {session_by: user}", '"user_in_chat" or "chat"', '"user"'),
        ("bots: {language: fr}", '"zh" or "en"', '"fr"'),
        ("bots: {thinking: yes}", '"hidden" or "shown"', "true"),
        ("bots: {stop_words: []}", WORDS, "[]"),
        ("bots: {new_words: ['!']}", WORDS, '["!"]'),
        ("bots: {continue_words: [1]}", WORDS, "[1]"),
        ("bots: {stop_words: [停止，停]}", WORDS, '["停止，停"]'),
        ("bots: {wecom_allowed_users: [ZhangSan、LiSi]}", IDS, '["ZhangSan、LiSi"]'),
        ("bots: {dingtalk_client_id: ding abc}", CREDENTIAL, '"ding abc"'),
        ("bots: {dingtalk_endpoint: 'http://api.dingtalk.com'}", OPEN_API, '"http://api.dingtalk.com"'),
        ("bots: {dingtalk_endpoint: 'https://me:1@h'}", OPEN_API, '"https://me:1@h"'),
        ("bots: {dingtalk_reply: stream}", '"markdown" or "card"', '"stream"'),
        ("bots: {dingtalk_card_template_id: a/b}", "the ID of a card's template, like 0a1b2c3d-….schema", '"a/b"'),
        ("bots: {dingtalk_max_updates: 0}", "an integer from 1 to 100", "0"),
        ("bots: {dingtalk_allowed_users: [0123]}", IDS, "[83]"),
        ("bots: {dingtalk_allowed_chats: [a b]}", IDS, '["a b"]'),
        ("bots: {wecom_bot_id: 机器人}", CREDENTIAL, '"机器人"'),
        ("bots: {wecom_endpoint: 'ws://openws.work.weixin.qq.com'}", SOCKET, '"ws://openws.work.weixin.qq.com"'),
        ("bots: {wecom_endpoint: 'wss://a@h'}", SOCKET, '"wss://a@h"'),
        ("bots: {wecom_update_seconds: 0.4}", "a number from 0.5 to 60", "0.4"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str, expected: str, shown: str
) -> None:
    section, _, rest = content.partition(": {")
    found = complaint(monkeypatch, tmp_path, content)
    assert found == f"config.yaml: {section}.{rest.partition(':')[0]}: expected {expected}, got {shown}"


MEMORY = (
    "expected 1 with session.backend: memory, got 2; set session.backend: redis, where all processes find the sessions"
)
NO_TEMPLATE = "expected bots.dingtalk_card_template_id beside card"
NO_URL = "expected session.redis_url beside redis, like redis://127.0.0.1:6379/0"


@pytest.mark.parametrize(
    ("content", "environment", "found"),
    [
        ("server: {workers: 2}", {}, f"config.yaml: server.workers: {MEMORY}"),
        ("server: {workers: 2}\nsession: {redis_url: redis://h}", {}, f"config.yaml: server.workers: {MEMORY}"),
        ("", {"SERVER_WORKERS": "2"}, f"CLAWGATE_SERVER_WORKERS: {MEMORY}"),
        ("server: {workers: 9}", {"SERVER_WORKERS": "2"}, f"CLAWGATE_SERVER_WORKERS: {MEMORY}"),
        (
            "server: {workers: 2}\nsession: {backend: redis, redis_url: redis://h}",
            {"SESSION_BACKEND": "memory"},
            f"config.yaml: server.workers: {MEMORY}",
        ),
        ("session: {backend: redis}", {}, f"config.yaml: session.backend: {NO_URL}"),
        ("session: {redis_url: }", {"SESSION_BACKEND": "redis"}, f"CLAWGATE_SESSION_BACKEND: {NO_URL}"),
        (
            "server: {workers: 2}\nsession: {backend: redis}",
            {"SESSION_REDIS_URL": " "},
            f"config.yaml: session.backend: {NO_URL}",
        ),
        ("bots: {dingtalk_reply: card}", {}, f"config.yaml: bots.dingtalk_reply: {NO_TEMPLATE}"),
        ("", {"BOTS_DINGTALK_REPLY": "Card"}, f"CLAWGATE_BOTS_DINGTALK_REPLY: {NO_TEMPLATE}"),
    ],
)
def test_settings_that_contradict_each_other_are_named_where_they_stand(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str, environment: dict[str, str], found: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(content)
    assert message_of("config.yaml", {f"CLAWGATE_{name}": text for name, text in environment.items()}) == found


@pytest.mark.parametrize(
    "url",
    [
        "s3cret",
        "http://:s3cret@h",
        "redis://",
        "redis://:s3cret@",
        "redis://:s3/cret@h:1",
        "redis://:s3cret@h:port",
        "redis://:s3cret@h:0",
        "redis://:s3cret@h/zero",
        "redis://:s3cret@h/0/1",
        "redis://:s3#cret@h",
        "redis://:s3 cret@h",
        "redis://:s3cret@h\n",
        "unix://s3cret",
        "redis+cluster://:s3cret@h",
        "'s3cret'",
        ["redis://:s3cret@h"],
    ],
)
def test_the_url_of_a_redis_is_never_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str | list[str]
) -> None:
    if isinstance(url, str):
        found = message_of(None, {"CLAWGATE_SESSION_REDIS_URL": f"{url}!" if url.endswith("\n") else url})
        assert found.startswith("CLAWGATE_SESSION_REDIS_URL: ")
        assert "s3" not in found
    found = complaint(monkeypatch, tmp_path, f"session: {{redis_url: {json.dumps(url)}}}")
    assert found == f"config.yaml: session.redis_url: expected {REDIS}, got a text that is not usable"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("server: {prot: 1}", "server.prot: unknown key; the nearest known one is server.port"),
        (
            "stream: {stall_second: 1}",
            "stream.stall_second: unknown key; the nearest known one is stream.stall_seconds",
        ),
        ("server: {1: 2}", "server.1: unknown key; the nearest known one is server.port"),
        ("servr: {port: 1}", "servr: unknown section; the nearest known one is server"),
        ('"ser\\nver": {}', "ser\\nver: unknown section; the nearest known one is server"),
        ("server: 1", "server: expected keys below it, got 1"),
        ("server: []", "server: expected keys below it, got []"),
        ("port", 'expected sections like `server:`, got "port"'),
        ("[]", "expected sections like `server:`, got []"),
        ("false", "expected sections like `server:`, got false"),
        ("server:\n  port: 1\n bad", "is not YAML: expected <block end>, but found '<scalar>' (line 3, column 2)"),
        ("a: b: c", "is not YAML: mapping values are not allowed here (line 1, column 5)"),
        ("server: {port: " + "9" * 5000 + "}", "is not YAML: unreadable"),
        ("model: {model_name: 2024-99-99}", "is not YAML: unreadable"),
        ("server: {port: !!int _}", "is not YAML: unreadable"),
        ("server: {port: !!timestamp a}", "is not YAML: unreadable"),
        ("[" * 600, "is not YAML: unreadable"),
        ("a: \0", "is not YAML: unreadable"),
        (b"a: \xff", "is not UTF-8 text (byte 3)"),
    ],
)
def test_a_file_of_another_shape_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | bytes, found: str
) -> None:
    assert complaint(monkeypatch, tmp_path, content) == f"config.yaml: {found}"


def test_a_section_that_cannot_be_written_is_shown_escaped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert complaint(monkeypatch, tmp_path, '"\\ud800": {}').startswith("config.yaml: \\ud800: unknown section")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    absent = os.fspath(tmp_path / "absent.yaml")
    assert message_of(absent, {}) == f"{absent}: cannot be read: No such file or directory"
    assert message_of(os.fspath(tmp_path), {}) == f"{tmp_path}: cannot be read: Is a directory"


@pytest.mark.parametrize(
    ("variable", "text", "found"),
    [
        ("CLAWGATE_SERVER_PORT", "abc", 'expected an integer from 1 to 65535, got "abc"'),
        ("CLAWGATE_SERVER_PORT", "70000", "expected an integer from 1 to 65535, got 70000"),
        ("CLAWGATE_SERVER_PORT", "\udcff", "expected an integer from 1 to 65535, got '\\udcff'"),
        ("CLAWGATE_MODEL_MODEL_NAME", "\udcff", "expected a text that is not empty, got '\\udcff'"),
        ("CLAWGATE_STREAM_STALL_SECONDS", "nan", "expected a number above 0 and up to 3600, got nan"),
        ("CLAWGATE_SERVER_CORS_ALLOWED_ORIGINS", "a,b", f'expected {ORIGINS}, got ["a","b"]'),
        ("CLAWGATE_SERVER_PROT", "1", "unknown setting; the nearest known one is CLAWGATE_SERVER_PORT"),
        ("CLAWGATE_MODEL_NAME", "x", "unknown setting; the nearest known one is CLAWGATE_MODEL_MODEL_NAME"),
    ],
)
def test_a_wrong_variable_is_named(variable: str, text: str, found: str) -> None:
    assert message_of(None, {variable: text}) == f"{variable}: {found}"


QUOTES = "the quotes around the value are a part of it here; leave them out"
BRACKETS = "a list is written `a,b` in a variable, without brackets and quotes"


@pytest.mark.parametrize(
    ("variable", "text", "found"),
    [
        ("CLAWGATE_MODEL_ENDPOINT", '"http://h"', QUOTES),
        ("CLAWGATE_MODEL_MODEL_NAME", "'qwen3:32b'", QUOTES),
        ("CLAWGATE_SERVER_PORT", ' "18789" ', QUOTES),
        ("CLAWGATE_STREAM_UNLOAD_WEDGED", "'true'", QUOTES),
        ("CLAWGATE_SERVER_AUTH_TOKEN", '"s3cret-s3cret"', QUOTES),
        ("CLAWGATE_SERVER_AUTH_TOKEN", '""', QUOTES),
        ("CLAWGATE_MODEL_ALLOWED_MODELS", '"a","b"', QUOTES),
        ("CLAWGATE_SERVER_HOST", "\u201c0.0.0.0\u201d", QUOTES),
        ("CLAWGATE_MODEL_ALLOWED_MODELS", "a,\u2018b\u2019", QUOTES),
        ("CLAWGATE_MODEL_ALLOWED_MODELS", '["a", "b"]', BRACKETS),
        ("CLAWGATE_SERVER_TRUSTED_PROXIES", "['10.0.0.1']", BRACKETS),
        ("CLAWGATE_SERVER_PORT", "tcp://", 'expected an integer from 1 to 65535, got "tcp://"'),
        ("CLAWGATE_MODEL_ENDPOINT", "tcp://10.0.0.1:1", f'expected {URL}, got "tcp://10.0.0.1:1"'),
    ],
)
def test_what_a_container_leaves_in_a_variable_is_named(variable: str, text: str, found: str) -> None:
    assert message_of(None, {variable: text}) == f"{variable}: {found}"


@pytest.mark.parametrize("name", ["\u201cqwen3:8b\u201d", "\u2018qwen3:8b\u2019", "\uff02qwen3:8b\uff02"])
def test_quotes_of_chinese_texts_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    """To YAML they are letters."""
    assert (
        complaint(monkeypatch, tmp_path, f"model: {{model_name: {name}}}") == f"config.yaml: model.model_name: {QUOTES}"
    )
    assert complaint(monkeypatch, tmp_path, f"model: {{allowed_models: [a, {name}]}}").endswith(QUOTES)


@pytest.mark.parametrize(
    ("content", "key", "line"),
    [
        ("server\uff1a\n  port: 1\n", "server", 1),
        ("server:\n  # the port\uff1a\n  port\uff1a 1\n", "port", 3),
        ("server:\n\u3000port\uff1a1\n", "port", 2),
    ],
)
def test_the_colon_of_chinese_texts_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str, key: str, line: int
) -> None:
    cure = "is a full-width one; write `:` and a blank"
    found = complaint(monkeypatch, tmp_path, content)
    assert found == f"config.yaml: the colon after `{key}` {cure} (line {line})"
    Path("config.yaml").write_text("# server\uff1a\nmodel: {model_name: qwen3}\n", encoding="utf-8")
    assert load("config.yaml", {}).model.model_name == "qwen3"


@pytest.mark.parametrize("text", ['"x"', "'x'", '["a"]'])
def test_what_a_container_leaves_in_another_programs_variable_is_none_of_ours(text: str) -> None:
    assert load(None, {"CLAWGATE_IMAGE": text, "CLAWGATE_SERVER_SERVICE_HOST": text}) == load(None, {})


CERTIFICATES = "a file of PEM certificates, or a folder of such files"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "which does not exist"),
        ("", "which holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)"),
        ("-----BEGIN PRIVATE KEY-----\nAA\n-----END PRIVATE KEY-----\n", "which holds no certificate in PEM form"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "in which a certificate is damaged"),
    ],
)
@pytest.mark.parametrize("is_folder", [False, True])
def test_authorities_that_are_none_are_named_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None, why: str, is_folder: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("certs").mkdir()
    given = "certs" if is_folder and content is not None else "certs/ca.pem"
    if content is not None:
        Path("certs/ca.pem").write_text(content)
        why = "which holds no certificate in PEM form" if is_folder else why
    found = complaint(monkeypatch, tmp_path, f"model: {{ca_file: {given}}}")
    assert found.startswith(f'config.yaml: model.ca_file: expected {CERTIFICATES}, got "{given}", {why}')


def test_authorities_that_cannot_be_read_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = complaint(monkeypatch, tmp_path, f"model: {{ca_file: {'x' * 300}}}")
    assert found.endswith("…, which cannot be read: File name too long")


@pytest.mark.parametrize(
    "token", ["s3cret", "s3cret with spaces", "s3cret\n12345", "s3cret-ünlesbar", ["s3cret-in-a-list"]]
)
def test_a_token_is_never_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, token: str | list[str]) -> None:
    found = complaint(monkeypatch, tmp_path, f"server: {{auth_token: {json.dumps(token)}}}")
    assert found.startswith("config.yaml: server.auth_token: expected a text of at least 8 visible ASCII characters")
    assert "cret" not in found
    if isinstance(token, str):
        assert "cret" not in message_of(None, {"CLAWGATE_SERVER_AUTH_TOKEN": token})


@pytest.mark.parametrize("key", ["dingtalk_client_secret", "wecom_secret"])
@pytest.mark.parametrize("secret", ["s3cret with blanks", "s3cret-ünlesbar", ["s3cret-in-a-list"]])
def test_a_bots_secret_is_never_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, key: str, secret: str | list[str]
) -> None:
    found = complaint(monkeypatch, tmp_path, f"bots: {{{key}: {json.dumps(secret)}}}")
    assert found == f"config.yaml: bots.{key}: expected {CREDENTIAL}, got a text that is not usable"


def test_a_password_in_the_gateways_address_is_never_shown() -> None:
    found = message_of(None, {"CLAWGATE_BOTS_GATEWAY_URL": "ftp://me:s3cret@h"})
    assert found == f"CLAWGATE_BOTS_GATEWAY_URL: expected {GATEWAY}, got a text that is not usable"


@pytest.mark.parametrize("mark", ["*", "!", "!!", "@", "%", "`"])
def test_a_token_that_yaml_stumbles_over_is_never_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mark: str
) -> None:
    found = complaint(monkeypatch, tmp_path, f"server:\n  auth_token: {mark}s3cretsecret\n")
    assert "cret" not in found
    assert found.startswith("config.yaml: is not YAML: ")
    assert found.endswith("(line 2, column 15)")


def test_the_credentials_of_an_endpoint_are_refused_and_never_shown() -> None:
    found = message_of(None, {"CLAWGATE_MODEL_ENDPOINT": "http://me:s3cret@h"})
    assert found == f"CLAWGATE_MODEL_ENDPOINT: expected {URL}, got a text that is not usable"


def test_every_setting_refuses_an_object_or_a_list(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for setting in settings():
        odd = "[a]" if setting.is_mapping else "{a: b}"
        found = complaint(monkeypatch, tmp_path, f"{setting.section}: {{{setting.key}: {odd}}}")
        assert found.startswith(f"config.yaml: {setting.name}: expected {setting.expected}, got ")


OPTIONS = "a mapping of Ollama's options, like {num_ctx: 16384}"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("{num_ctx: many}", '.num_ctx: expected an integer, got "many"'),
        ("{num_ctx: 4096.5}", ".num_ctx: expected an integer, got 4096.5"),
        ("{num_ctx: true}", ".num_ctx: expected an integer, got true"),
        ("{temperature: .nan}", ".temperature: expected a number, got nan"),
        ("{temperature: 1e-3}", '.temperature: expected a number, got "1e-3"'),
        ("{use_mmap: 1}", ".use_mmap: expected true or false, got 1"),
        ("{stop: x}", '.stop: expected a list of at most 64 texts, got "x"'),
        ("{new: {}}", ".new: expected a number, a text, true, false or a list of at most 64 of them, got {}"),
        ("{new: .inf}", ".new: expected a number, a text, true, false or a list of at most 64 of them, got inf"),
        ("{new: " + "x" * 5000 + "}", ".new: expected at most 4096 bytes, got 5002"),
        ('{"a\\nb": {}}', ".a\\nb: expected a number, a text, true, false or a list of at most 64 of them, got {}"),
        ("{" + ", ".join(f"a{n}: 1" for n in range(65)) + "}", ": expected at most 64 options, got 65"),
        ("{1: 2}", f': expected {OPTIONS}, got {{"1":2}}'),
        ("num_ctx", f': expected {OPTIONS}, got "num_ctx"'),
        ("&a {b: *a}", f": expected {OPTIONS}, got {{'b': {{...}}}}"),
    ],
)
def test_a_wrong_option_of_ollamas_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: str, found: str
) -> None:
    assert complaint(monkeypatch, tmp_path, f"model: {{options: {given}}}") == f"config.yaml: model.options{found}"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("num_ctx=4096", f': expected {OPTIONS}, got "num_ctx=4096"'),
        ("{num_ctx: 1", f': expected {OPTIONS}, got "{{num_ctx: 1"'),
        ("{num_ctx: 1, num_ctx: 2}", f': expected {OPTIONS}, got "{{num_ctx: 1, num_ctx: 2}}"'),
        ("[]", f": expected {OPTIONS}, got []"),
        ('{"num_ctx": "4096"}', '.num_ctx: expected an integer, got "4096"'),
    ],
)
def test_a_wrong_option_in_the_variable_is_named(text: str, found: str) -> None:
    assert message_of(None, {"CLAWGATE_MODEL_OPTIONS": text}) == f"CLAWGATE_MODEL_OPTIONS{found}"


@pytest.mark.parametrize(
    ("content", "name", "line"),
    [
        ("server: {port: 1}\nmodel: {}\nserver: {host: a}", "server", 3),
        ("server:\n  port: 1\n  port: 2", "port", 3),
    ],
)
def test_what_is_given_twice_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str, name: str, line: int
) -> None:
    message = complaint(monkeypatch, tmp_path, content)
    assert message.startswith(f"config.yaml: is not YAML: `{name}` is given twice (line {line}, ")
