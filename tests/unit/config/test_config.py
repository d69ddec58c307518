"""Settings: their defaults, the file, the environment, and what is accepted."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from requests.adapters import DEFAULT_CA_BUNDLE_PATH

import clawgate
from clawgate.config import (
    BotsConfig,
    Config,
    ModelConfig,
    ServerConfig,
    SessionConfig,
    StreamConfig,
    cautions,
    change_between,
    gateway_settings,
    load,
    settings,
)
from clawgate.config.options import warnings_of
from clawgate.errors import ConfigError
from tests.support.language import assert_has_chinese

Write = Callable[[str | bytes], Path]

CONTRACT: dict[str, object] = {
    "model.provider": "ollama",
    "model.endpoint": "http://127.0.0.1:11434",
    "model.model_name": "qwen3:32b",
    "model.ca_file": None,
    "model.verify": True,
    "model.options": {},
    "model.allowed_models": (),
    "server.host": "127.0.0.1",
    "server.port": 18789,
    "server.cors_allowed_origins": (),
    "server.max_streams": 100,
    "server.auth_token": None,
    "server.trusted_proxies": ("127.0.0.1",),
    "server.graceful_seconds": 30,
    "server.trusted_hosts": (),
    "server.path_prefix": "",
    "server.max_body_bytes": 16 * 1024 * 1024,
    "server.workers": 1,
    "logging.level": "info",
    "logging.format": "text",
    "stream.heartbeat_seconds": 5,
    "stream.smoothing_ms": 100,
    "stream.max_bad_frames": 3,
    "stream.stall_seconds": 5,
    "stream.first_frame_seconds": 300,
    "stream.max_answer_seconds": 0,
    "stream.retry_seconds": 60,
    "stream.unload_wedged": False,
    "stream.detach_seconds": 30,
    "session.backend": "memory",
    "session.redis_url": None,
    "session.redis_prefix": "clawgate",
    "session.redis_required": True,
    "session.max_sessions": 100,
    "session.ttl_seconds": 1800,
    "session.max_context_bytes": 1024 * 1024,
    "session.max_image_bytes": 16 * 1024 * 1024,
    "bots.gateway_url": None,
    "bots.session_by": "user_in_chat",
    "bots.language": "zh",
    "bots.thinking": "hidden",
    "bots.stop_words": ("停止", "停", "stop", "取消"),
    "bots.continue_words": ("继续", "continue"),
    "bots.new_words": ("新对话", "/new"),
    "bots.dingtalk_client_id": None,
    "bots.dingtalk_client_secret": None,
    "bots.dingtalk_endpoint": "https://api.dingtalk.com",
    "bots.dingtalk_reply": "markdown",
    "bots.dingtalk_card_template_id": None,
    "bots.dingtalk_card_key": "content",
    "bots.dingtalk_max_updates": 8,
    "bots.dingtalk_allowed_users": (),
    "bots.dingtalk_allowed_chats": (),
    "bots.wecom_bot_id": None,
    "bots.wecom_secret": None,
    "bots.wecom_endpoint": "wss://openws.work.weixin.qq.com",
    "bots.wecom_update_seconds": 2.1,
    "bots.wecom_allowed_users": (),
    "bots.wecom_allowed_chats": (),
}
ORIGINAL = """\
model:
  provider: "ollama"
  endpoint: "http://127.0.0.1:11434"
  model_name: "qwen3:32b"

server:
  host: "0.0.0.0"
  port: 18789
  cors_allowed_origins:
    - "*"

logging:
  level: "info"
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a config.yaml and return its path."""

    def written(content: str | bytes) -> Path:
        path = tmp_path / "config.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return written


def values_of(config: Config) -> dict[str, object]:
    """Every setting's value by its dotted name."""
    return {setting.name: getattr(getattr(config, setting.section), setting.key) for setting in settings()}


def test_defaults_are_those_of_the_contract() -> None:
    found = {setting.name: setting.default for setting in settings()}
    assert found == CONTRACT, "CONTRACT in this file: a new setting needs its default there"
    assert values_of(Config()) == found


@pytest.mark.parametrize("content", ["", "# nothing\n", "{}", "model:\nserver:\n", "server: {port: }", "~"])
def test_what_is_absent_or_null_is_the_default(write: Write, content: str) -> None:
    assert load(write(content), {}) == Config() == load(None, {})


@pytest.mark.parametrize(
    "endpoint", ["http://b\u00fccher.example", "http://gpu_1:80/a b".replace(" ", "%20"), "http://h.", "http://[::1]:1"]
)
def test_an_endpoint_may_have_any_name_that_can_be_connected_to(endpoint: str) -> None:
    assert load(None, {"CLAWGATE_MODEL_ENDPOINT": f"{endpoint}/"}).model.endpoint == endpoint


def test_the_original_file_works_unchanged(write: Write) -> None:
    changed = {"server.host": "0.0.0.0", "server.cors_allowed_origins": ("*",)}
    assert values_of(load(write(ORIGINAL), {})) == values_of(Config()) | changed


REDIS_URL = "rediss://me:s3cret@redis.example.org:6380/3?ssl_ca_certs=/etc/ssl/own.pem"
GIVEN: dict[str, tuple[str, object]] = {
    "model.provider": ("Ollama", "ollama"),
    "model.endpoint": ("HTTPS://gpu.example.org/ollama/", "https://gpu.example.org/ollama"),
    "model.model_name": ("llama3.2:1b", "llama3.2:1b"),
    "model.ca_file": (DEFAULT_CA_BUNDLE_PATH, DEFAULT_CA_BUNDLE_PATH),
    "model.verify": (" False", False),
    "model.options": ('{"num_ctx": 8192.0, stop: [a, "b"], new: x}', {"num_ctx": 8192, "stop": ("a", "b"), "new": "x"}),
    "model.allowed_models": ("a, b:7b ,,c", ("a", "b:7b", "c")),
    "server.host": ("::", "::"),
    "server.port": ("0", 0),
    "server.cors_allowed_origins": ("https://a.example,http://b:1/", ("https://a.example", "http://b:1")),
    "server.max_streams": ("2", 2),
    "server.auth_token": ("12345678", "12345678"),
    "server.trusted_proxies": ("10.0.0.0/8,::1", ("10.0.0.0/8", "::1")),
    "server.graceful_seconds": ("0", 0),
    "server.path_prefix": ("/a/b/", "/a/b"),
    "server.trusted_hosts": ("Chat.Example.,[::1],[0:0::2]", ("chat.example", "::1", "::2")),
    "server.max_body_bytes": ("1024", 1024),
    "server.workers": ("2", 2),
    "logging.level": ("WARNING", "warning"),
    "logging.format": ("json", "json"),
    "stream.heartbeat_seconds": ("0.5", 0.5),
    "stream.smoothing_ms": ("0", 0),
    "stream.max_bad_frames": ("1", 1),
    "stream.stall_seconds": ("1e1", 10),
    "stream.first_frame_seconds": ("7", 7),
    "stream.max_answer_seconds": ("0.5", 0.5),
    "stream.retry_seconds": ("0", 0),
    "stream.detach_seconds": ("0", 0),
    "stream.unload_wedged": ("True", True),
    "session.backend": ("Redis", "redis"),
    "session.redis_url": (REDIS_URL, REDIS_URL),
    "session.redis_prefix": ("chat-1.b_", "chat-1.b_"),
    "session.redis_required": ("false", False),
    "session.max_sessions": ("1", 1),
    "session.ttl_seconds": ("0.1", 0.1),
    "session.max_context_bytes": ("1024", 1024),
    "session.max_image_bytes": ("0", 0),
    "bots.gateway_url": ("https://me:s3cret@chat.example.org/llm/", "https://me:s3cret@chat.example.org/llm"),
    "bots.session_by": ("Chat", "chat"),
    "bots.language": ("EN", "en"),
    "bots.thinking": ("shown", "shown"),
    "bots.stop_words": ("打住, stop", ("打住", "stop")),
    "bots.continue_words": ("go on", ("go on",)),
    "bots.new_words": ("/reset", ("/reset",)),
    "bots.dingtalk_client_id": ("dingabc0123456789", "dingabc0123456789"),
    "bots.dingtalk_client_secret": ("s3cret-_#", "s3cret-_#"),
    "bots.dingtalk_endpoint": ("HTTPS://oapi.example.org/", "https://oapi.example.org"),
    "bots.dingtalk_reply": ("card", "card"),
    "bots.dingtalk_card_template_id": ("8aebdfb9-28f4.schema", "8aebdfb9-28f4.schema"),
    "bots.dingtalk_card_key": ("msgContent", "msgContent"),
    "bots.dingtalk_max_updates": ("1", 1),
    "bots.dingtalk_allowed_users": ("0123,manager", ("0123", "manager")),
    "bots.dingtalk_allowed_chats": ("cid/+==", ("cid/+==",)),
    "bots.wecom_bot_id": ("aib-x", "aib-x"),
    "bots.wecom_secret": ("s3cret", "s3cret"),
    "bots.wecom_endpoint": ("ws://127.0.0.1:1/x", "ws://127.0.0.1:1/x"),
    "bots.wecom_update_seconds": ("0.5", 0.5),
    "bots.wecom_allowed_users": ("ZhangSan", ("ZhangSan",)),
    "bots.wecom_allowed_chats": ("wr-x", ("wr-x",)),
}
"""A variable's text for each setting, and the value that it means."""


def test_every_setting_can_be_overridden_by_its_variable(write: Write) -> None:
    path = write("model: {model_name: from-file}\nserver: {port: 1}\n")
    known = {setting.name: setting.variable for setting in settings()}
    assert set(known) == set(GIVEN), "GIVEN in this file: a new setting needs a value there"
    environment = {known[name]: text for name, (text, _) in GIVEN.items()}
    found = values_of(load(path, environment))
    assert found == {name: value for name, (_, value) in GIVEN.items()}
    assert known["model.endpoint"] == "CLAWGATE_MODEL_ENDPOINT"


SHARED = {"CLAWGATE_SESSION_BACKEND": "redis", "CLAWGATE_SESSION_REDIS_URL": REDIS_URL}
"""Sessions that several processes share."""
LARGEST = {
    "CLAWGATE_SERVER_PORT": "65535",
    "CLAWGATE_SERVER_MAX_STREAMS": "10000",
    "CLAWGATE_SERVER_GRACEFUL_SECONDS": "86400",
    "CLAWGATE_SERVER_MAX_BODY_BYTES": str(1 << 30),
    "CLAWGATE_SERVER_WORKERS": "64",
    "CLAWGATE_STREAM_HEARTBEAT_SECONDS": "3600",
    "CLAWGATE_STREAM_SMOOTHING_MS": "10000",
    "CLAWGATE_STREAM_MAX_BAD_FRAMES": "1000",
    "CLAWGATE_STREAM_STALL_SECONDS": "3600",
    "CLAWGATE_STREAM_FIRST_FRAME_SECONDS": "86400",
    "CLAWGATE_STREAM_MAX_ANSWER_SECONDS": "86400",
    "CLAWGATE_STREAM_RETRY_SECONDS": "86400",
    "CLAWGATE_STREAM_DETACH_SECONDS": "86400",
    "CLAWGATE_SESSION_MAX_SESSIONS": "10000000",
    "CLAWGATE_SESSION_MAX_CONTEXT_BYTES": str(1 << 30),
    "CLAWGATE_SESSION_MAX_IMAGE_BYTES": str(1 << 30),
    "CLAWGATE_BOTS_DINGTALK_MAX_UPDATES": "100",
    "CLAWGATE_BOTS_WECOM_UPDATE_SECONDS": "60",
}


@pytest.mark.parametrize("variable", LARGEST)
def test_the_largest_value_is_taken(variable: str) -> None:
    found = values_of(load(None, {**SHARED, variable: LARGEST[variable]}))
    setting = next(setting for setting in settings() if setting.variable == variable)
    assert found[setting.name] == float(LARGEST[variable])


def test_every_setting_with_a_bound_has_its_largest_value_here() -> None:
    assert {each.variable for each in settings() if each.bounds.le is not None} == set(LARGEST)


def test_every_setting_is_obeyed_somewhere() -> None:
    package = Path(clawgate.__file__).parent
    read = "".join(path.read_text() for path in package.rglob("*.py") if path.parent.name != "config")
    ignored = [each.name for each in settings() if not re.search(rf"\.{each.key}\b", read)]
    assert not ignored, "no part of clawgate reads these settings"


def test_variables_of_others_are_none_of_ours() -> None:
    assert load(None, {"CLAWGATE_CONFIG": "x", "CLAWGATE": "1", "PORT": "1", "OLLAMA_HOST": "x"}) == Config()


@pytest.mark.parametrize("blank", ["", " ", "\t\n"])
def test_an_empty_variable_counts_as_not_set(write: Write, blank: str) -> None:
    path = write(
        "model: {model_name: from-file}\nserver: {auth_token: from-file, port: 1}\nstream: {smoothing_ms: 2}\n"
    )
    variables = [each.variable for each in settings() if each.kind != tuple[str, ...]]
    assert load(path, dict.fromkeys(variables, blank)) == load(path, {})
    assert load(blank, {}) == Config(), "CLAWGATE_CONFIG, too"


@pytest.mark.parametrize("around", [" {} ", "\t{}\n", "{}\r"])
def test_blanks_around_any_value_are_taken_off(around: str) -> None:
    environment = {each.variable: around.format(GIVEN[each.name][0]) for each in settings()}
    assert values_of(load(None, environment)) == {name: value for name, (_, value) in GIVEN.items()}


SERVICES = {
    "CLAWGATE": "CLAWGATE",
    "clawgate-server": "CLAWGATE_SERVER",
    "clawgate-model": "CLAWGATE_MODEL",
    "clawgate-session-main": "CLAWGATE_SESSION_MAIN",
}


@pytest.mark.parametrize("name", SERVICES.values(), ids=SERVICES)
def test_the_variables_of_a_kubernetes_service_are_no_settings(name: str) -> None:
    of_a_port = {"": "tcp://10.0.0.1:18789", "_PROTO": "tcp", "_PORT": "18789", "_ADDR": "10.0.0.1"}
    environment = {
        f"{name}_SERVICE_HOST": "10.0.0.1",
        f"{name}_SERVICE_PORT": "18789",
        f"{name}_SERVICE_PORT_HTTP": "18789",
        f"{name}_SERVICE_PORT_METRICS_9": "9",
        f"{name}_PORT": "tcp://10.0.0.1:18789",
        **{f"{name}_PORT_18789_TCP{part}": text for part, text in of_a_port.items()},
        f"{name}_PORT_53_UDP": "udp://10.0.0.1:53",
    }
    assert load(None, environment) == Config()


def test_a_port_of_its_own_counts_beside_them() -> None:
    environment = {"CLAWGATE_SERVER_SERVICE_HOST": "10.0.0.1", "CLAWGATE_SERVER_PORT": "18790"}
    assert load(None, environment).server.port == 18790


def test_an_empty_variable_empties_a_list(write: Write) -> None:
    path = write("model: {allowed_models: [a]}")
    assert load(path, {"CLAWGATE_MODEL_ALLOWED_MODELS": ""}).model.allowed_models == ()


def test_an_empty_variable_empties_a_mapping(write: Write) -> None:
    path = write("model: {options: {num_ctx: 8192}}")
    assert load(path, {"CLAWGATE_MODEL_OPTIONS": " "}).model.options == {}
    assert load(path, {"CLAWGATE_MODEL_OPTIONS": "null"}).model.options == {}


def test_ollamas_options_are_taken_as_they_are_meant_and_frozen(write: Write) -> None:
    given = (
        "{num_ctx: 4096.0, temperature: 0, seed: null, stop: [a], penalize_newline: off, new: [1, x, null], more: 0.5}"
    )
    found = load(write(f"model: {{options: {given}}}"), {}).model.options
    assert found == {
        "num_ctx": 4096,
        "temperature": 0,
        "stop": ("a",),
        "penalize_newline": False,
        "new": (1, "x", None),
        "more": 0.5,
    }
    assert isinstance(found["num_ctx"], int), "Ollama takes it for one"
    with pytest.raises(TypeError):
        found["num_ctx"] = 1  # type: ignore[index]


def test_an_option_that_is_not_known_is_warned_of() -> None:
    assert list(warnings_of({"num_ctx": 1, "num_ctxx": 1, "a\nb": 1})) == [
        "model.options: num_ctxx is not known here (is it num_ctx?); Ollama gets it as it is",
        "model.options: a\\nb is not known here; Ollama gets it as it is",
    ]


def test_a_reload_changes_ollamas_options() -> None:
    old, new = Config(), Config(model=ModelConfig(options={"num_ctx": 1}))
    assert change_between(old, new) == (new, ("model.options",), ())


def test_one_text_in_the_file_is_a_list_of_one(write: Write) -> None:
    assert load(write('server: {cors_allowed_origins: "*"}'), {}).server.cors_allowed_origins == ("*",)


def test_a_byte_order_mark_is_no_part_of_the_file(write: Write) -> None:
    assert load(write(b"\xef\xbb\xbfserver: {port: 1}"), {}).server.port == 1


def test_a_configuration_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Config().server.port = 1  # type: ignore[misc]


def test_every_setting_says_what_it_is_and_what_it_expects() -> None:
    for setting in settings():
        assert setting.help, setting.name
        assert setting.expected, setting.name
        assert msgspec.convert(msgspec.to_builtins(setting.default, enc_hook=dict), setting.type) == setting.default


def test_a_setting_tells_which_of_its_values_are_secret() -> None:
    hidden = {
        setting.name: [value for value in ("plain", "http://127.0.0.1:1", "http://me:s3cret@h") if setting.hides(value)]
        for setting in settings()
    }
    assert {name: values for name, values in hidden.items() if values} == {
        "model.endpoint": ["http://me:s3cret@h"],
        "server.auth_token": ["plain", "http://127.0.0.1:1", "http://me:s3cret@h"],
        "session.redis_url": ["plain", "http://127.0.0.1:1", "http://me:s3cret@h"],
        "bots.gateway_url": ["http://me:s3cret@h"],
        "bots.dingtalk_client_secret": ["plain", "http://127.0.0.1:1", "http://me:s3cret@h"],
        "bots.wecom_secret": ["plain", "http://127.0.0.1:1", "http://me:s3cret@h"],
    }


def test_a_reload_takes_over_what_can_change_and_names_the_rest() -> None:
    old = Config(server=ServerConfig(port=1, auth_token="a-token-1"))
    new = Config(
        server=ServerConfig(port=2, max_streams=7, auth_token="a-token-2"), stream=StreamConfig(smoothing_ms=9)
    )
    change = change_between(old, new)
    assert change.changed == ("server.auth_token", "stream.smoothing_ms")
    assert change.needs_restart == ("server.port", "server.max_streams")
    assert change.config.server == ServerConfig(port=1, max_streams=100, auth_token="a-token-2")
    assert change.config.stream == StreamConfig(smoothing_ms=9)


def test_a_reload_of_the_gateway_names_nothing_of_the_bots() -> None:
    old = Config(bots=BotsConfig(wecom_bot_id="a", thinking="hidden"))
    new = Config(bots=BotsConfig(wecom_bot_id="b", thinking="shown"), stream=StreamConfig(smoothing_ms=9))
    assert change_between(old, new)[1:] == (("stream.smoothing_ms",), ())


def test_the_gateways_settings_are_all_but_the_bots() -> None:
    sections = {each.section for each in settings()}
    assert {each.section for each in gateway_settings()} == sections - {"bots"}


def test_a_reload_of_the_same_changes_nothing() -> None:
    assert change_between(Config(), Config()) == (Config(), (), ())


@pytest.mark.parametrize("wrong", [["nginx"], ["10.0.0.1/8"], ["1.2.3.4:80"], ["*"], 7])
def test_a_proxy_is_an_address_or_a_network(write: Write, wrong: object) -> None:
    with pytest.raises(ConfigError, match=r"server\.trusted_proxies: expected addresses or networks like"):
        load(write(f"server: {{trusted_proxies: {wrong}}}".encode()), {})


def shared(url: str) -> SessionConfig:
    """Sessions in one Redis."""
    return SessionConfig(backend="redis", redis_url=url)


@pytest.mark.parametrize(
    ("sections", "environment", "words"),
    [
        ({}, {}, []),
        ({"server": ServerConfig(host="0.0.0.0")}, {}, ["DNS rebinding"]),
        ({"server": ServerConfig(cors_allowed_origins=("*",))}, {}, ["every page may use this gateway"]),
        ({}, {"CLAWGATE_SERVER_AUTH_TOKEN": " "}, ["CLAWGATE_SERVER_AUTH_TOKEN is empty, which counts as not set"]),
        ({}, {"CLAWGATE_LOGGING_LEVEL": " "}, []),
        ({}, {"CLAWGATE_BOTS_WECOM_SECRET": " "}, []),
        ({}, {"CLAWGATE_WECOM_SECRET": "s3cret"}, ["the variable of bots.wecom_secret is CLAWGATE_BOTS_WECOM_SECRET"]),
        ({}, {"CLAWGATE_AUTH_TOKEN": "secret-1"}, ["the variable of server.auth_token is CLAWGATE_SERVER_AUTH_TOKEN"]),
        ({}, {"CLAWGATE_PORT": "80"}, ["CLAWGATE_PORT has no effect: the variable of server.port is CLAWGATE_SERVER_"]),
        ({}, {"CLAWGATE_PORT": "tcp://10.0.0.1:80", "CLAWGATE_VERSION": "1", "CLAWGATE_SERVER_PORT": "1"}, []),
        ({"model": ModelConfig(endpoint="https://h", verify=False)}, {}, ["whatever certificate answers"]),
        ({"model": ModelConfig(verify=False)}, {}, ["is not https: model.ca_file and model.verify have no effect"]),
        ({"model": ModelConfig(ca_file="/x")}, {}, ["is not https: model.ca_file and model.verify have no effect"]),
        ({"model": ModelConfig(endpoint="https://h", ca_file="/x")}, {}, []),
        (
            {"model": ModelConfig(endpoint="https://h", ca_file="/x", verify=False)},
            {},
            ["whatever certificate answers", "model.ca_file has no effect"],
        ),
        ({"session": SessionConfig(redis_url=REDIS_URL)}, {}, ["session.backend is memory: session.redis_url has no"]),
        ({"session": shared(REDIS_URL)}, {}, []),
        ({"session": shared("redis://10.0.0.7")}, {}, []),
        ({"session": shared("redis://:s3cret@10.0.0.7")}, {}, ["sends its password to another host without TLS"]),
        ({"session": shared("redis://redis?password=s3cret")}, {}, ["sends its password to another host without TLS"]),
        ({"session": shared("redis://:s3cret@127.0.0.1")}, {}, []),
        ({"session": shared("redis://:s3cret@[::1]:1/2")}, {}, []),
        ({"session": shared("redis://:s3cret@LOCALHOST")}, {}, []),
        ({"session": shared("unix://:s3cret@/run/redis.sock")}, {}, []),
        ({"session": shared("rediss://h?ssl_cert_reqs=none")}, {}, ["whatever certificate answers there is taken"]),
        ({}, {"CLAWGATE_SESSION_REDIS_URL": ""}, ["CLAWGATE_SESSION_REDIS_URL is empty, which counts as not set"]),
    ],
)
def test_what_is_valid_and_questionable_is_said(
    sections: dict[str, Any], environment: dict[str, str], words: list[str]
) -> None:
    found = list(cautions(Config(**sections), environment))
    assert len(found) == len(words)
    assert all(said in caution for said, caution in zip(words, found, strict=True))
    assert "s3cret" not in "".join(found)
    for caution in found:
        assert_has_chinese(f"warning: {caution}")
