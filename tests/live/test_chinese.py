"""`clawgate check`, `up` and every command's errors where the locale is Chinese."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command import CLAWGATE, assert_is_one_line, clawgate
from tests.support.gateway import Gateway
from tests.support.language import is_chinese
from tests.support.ollama import DEFAULT_MODEL, ScriptedOllama
from tests.support.tools import DEADLINE_S, free_port

CHINESE = {"LC_ALL": "zh_CN.UTF-8"}


def test_check_speaks_chinese(ollama: ScriptedOllama, tmp_path: Path) -> None:
    config = tmp_path / "网关.yaml"
    config.write_text(f"model: {{endpoint: '{ollama.base_url}', options: {{num_ctxx: 1}}}}\n")
    ready = [
        f"正常：配置 {config}",
        "警告：model.options：不认识 num_ctxx（是 num_ctx 吗？）；将原样交给 Ollama",
        f"正常：Ollama 0.12.6，地址 {ollama.base_url}",
        f"正常：模型 {DEFAULT_MODEL}",
    ]
    done = clawgate("check", "--config", str(config), env=CHINESE)
    assert (done.status, done.stdout.splitlines(), done.stderr) == (0, ready, "")
    ollama.models = []
    done = clawgate("check", "--config", str(config), env=CHINESE)
    absent = f"未就绪：没有模型 {DEFAULT_MODEL}；用 `ollama pull {DEFAULT_MODEL}` 获取"
    assert (done.status, done.stdout.splitlines()) == (1, [*ready[:3], absent])
    ollama.stop()
    done = clawgate("check", "--config", str(config), env=CHINESE)
    refused = f"未就绪：{ollama.base_url} 处没有可用的 Ollama：连接被拒绝；用 `ollama serve` 启动它"
    assert (done.status, done.stdout.splitlines(), done.stderr) == (1, [*ready[:2], refused], "")


def test_a_redis_that_is_away_is_said_in_chinese(tmp_path: Path) -> None:
    where = f"127.0.0.1:{free_port()}"
    given = {"CLAWGATE_SESSION_BACKEND": "redis", "CLAWGATE_SESSION_REDIS_URL": f"redis://{where}/0"}
    away = f"{where} 处没有 Redis 应答：连接被拒绝；用 `systemctl start redis-server` 启动它"
    given["CLAWGATE_MODEL_ENDPOINT"] = f"http://127.0.0.1:{free_port()}"
    done = clawgate("check", cwd=tmp_path, env={**given, **CHINESE})
    assert (done.status, done.stdout.splitlines()[1]) == (1, f"未就绪：{away}")
    line = assert_is_one_line(clawgate("serve", "--port", "0", cwd=tmp_path, env={**given, **CHINESE}), 1)
    assert line == f"clawgate: session.redis_url：{away}"


@pytest.mark.parametrize(
    ("arguments", "text", "line"),
    [
        (("check",), "server: {port: abc}", 'config.yaml: server.port：应为 1 到 65535 的整数，却是 "abc"'),
        (("serve",), "server: {prot: 1}", "config.yaml: server.prot：未知的键；最接近的是 server.port"),
        (("up", "--port", "99999"), "", "--port：应为 1 到 65535 的整数，却是 99999"),
        (("bot",), "", "缺少参数：name（用法见 `clawgate bot --help`）"),
        (("check", "--colour"), "", "无法识别的参数：--colour（用法见 `clawgate --help`）"),
        (
            ("embedded", "--port", "x"),
            "",
            'embedded: 参数 --port：应为 0 到 65535 的整数，却是 "x"（用法见 `clawgate embedded --help`）',
        ),
        (
            ("embedded", "--model", "smollm2", "--weights", "x"),
            "",
            "embedded: 参数 --weights：不能与 --model 同时使用（用法见 `clawgate embedded --help`）",
        ),
        (
            ("embedded", "--verbose=1"),
            "",
            "embedded: 参数 --verbose：不带值，却是 '1'（用法见 `clawgate embedded --help`）",
        ),
        (
            ("chat", "--s", "x"),
            "",
            "选项 --s 不明确，可能是 --session, --show-thinking, --system（用法见 `clawgate chat --help`）",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_wrong_is_one_line_in_chinese(tmp_path: Path, arguments: tuple[str, ...], text: str, line: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    given = arguments if arguments[0] == "embedded" else (*arguments, "--config", "config.yaml")
    assert assert_is_one_line(clawgate(*given, cwd=tmp_path, env=CHINESE), 2) == f"clawgate: {line}"


@pytest.mark.parametrize(
    ("locale", "encoding", "speaks_chinese"),
    [
        ({"LANG": "zh_CN.GB2312"}, "gb2312", True),
        ({"LC_ALL": "zh_CN.GB18030"}, "gb18030", True),
        ({"LC_ALL": "C", "LANG": "zh_CN.UTF-8"}, "utf-8", False),
        ({"LANG": "zh_CN.UTF-8", "PYTHONIOENCODING": "ascii"}, "ascii", False),
    ],
)
def test_every_charset_is_served(tmp_path: Path, locale: dict[str, str], encoding: str, speaks_chinese: bool) -> None:
    config = tmp_path / "网关🦊.yaml"
    config.write_text("server: {port: 0}\n")
    unset = {"LC_ALL": "", "LC_MESSAGES": "", "LC_CTYPE": "", "PYTHONIOENCODING": "", "PYTHONUTF8": ""}
    away = {"CLAWGATE_MODEL_ENDPOINT": f"http://127.0.0.1:{free_port()}"}
    done = clawgate("check", "--config", str(config), env={**unset, **locale, **away}, encoding=encoding)
    assert (done.status, done.stderr) == (1, "")
    assert is_chinese(done.stdout.splitlines()[1]) == speaks_chinese


def test_up_speaks_chinese_and_the_gateway_as_ever(gateway: Callable[..., Gateway], ollama: ScriptedOllama) -> None:
    ollama.models = []
    up = gateway(command=(*CLAWGATE, "up"), env=CHINESE, is_ready_awaited=False)
    up.wait_for_line(
        r"^请在浏览器中打开 http://127\.0\.0\.1:\d+/ （按 Ctrl-C 结束）$", DEADLINE_S * 2, stdout_only=True
    )
    assert up.stdout[:2] == [
        f"Ollama 0.12.6 在 {ollama.base_url} 应答，模型为 {DEFAULT_MODEL}。\n",
        f"它还没有这个模型：请执行 `ollama pull {DEFAULT_MODEL}`。\n",
    ]
    assert up.terminate() == 0
    assert any(" INFO " in line for line in up.lines)
    assert not any(is_chinese(line) for line in up.lines if " INFO " in line), "the log is English"


def test_up_reads_a_socket_in_the_charset_of_the_terminal(gateway: Callable[..., Gateway], tmp_path: Path) -> None:
    path = tmp_path / "网关.sock"
    given = {"LANG": "zh_CN.GB18030", "CLAWGATE_SERVER_HOST": f"unix:{path}"}
    unset = {"LC_ALL": "", "LC_MESSAGES": "", "LC_CTYPE": "", "LANGUAGE": "", "PYTHONIOENCODING": "", "PYTHONUTF8": ""}
    up = gateway(command=(*CLAWGATE, "up"), env={**unset, **given}, is_ready_awaited=False)
    up.wait_for_line("Ctrl-C", DEADLINE_S * 2, stdout_only=True)
    assert up.terminate() == 0
