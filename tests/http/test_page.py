"""The chat page and the setup page as the server makes them."""

from __future__ import annotations

import os
import posixpath
import re
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from clawgate.app import create_app, create_blueprint
from clawgate.config import BotsConfig, Config, ModelConfig, ServerConfig, gateway_settings
from clawgate.embedded.frames import VERSION
from clawgate.ollama.client import OllamaClient
from clawgate.ollama.loaded import Loaded, loaded
from clawgate.web.pages import nginx
from clawgate.web.pages.setup import memory_of
from tests.support.connection import Connection
from tests.support.ollama import ScriptedOllama, keep, raw, status
from tests.support.server import SocketServer
from tests.support.tools import DEADLINE_S, ROOT, free_port, wait_for

TOKEN = "a-very-secret-token"
WITH_TOKEN = {"Authorization": f"Bearer {TOKEN}"}
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def nginx_port(monkeypatch: pytest.MonkeyPatch) -> int:
    """Put a port where nothing listens in the place of 8080."""
    port = free_port()
    monkeypatch.setattr(nginx, "PORT", port)
    return port


def client_of(ollama: ScriptedOllama, **server: object) -> FlaskClient:
    config = Config(model=ModelConfig(endpoint=ollama.base_url), server=ServerConfig(**server))  # type: ignore[arg-type]
    return create_app(config).test_client()


def state_of(page: str, hop: str) -> str:
    found = re.search(rf'data-hop="{hop}" data-state="(\w+)"', page)
    assert found, page
    return found[1]


def addresses_of(page: str) -> list[str]:
    """Return the addresses of the hops, the browser's first."""
    return re.findall(r"<p><code>(.*?)</code>", page)


@pytest.mark.parametrize(
    ("accept", "is_page"),
    [
        (HTML["Accept"], True),
        ("*/*", True),
        (None, True),
        ("text/html;q=0.1, text/plain", True),
        ("text/plain", False),
        ("application/json", False),
        ("application/json, application/x-ndjson", False),
        ("text/html;q=0, */*", False),
    ],
)
def test_a_program_that_takes_no_page_is_told_that_ollama_is_there(
    ollama: ScriptedOllama, accept: str | None, is_page: bool
) -> None:
    for method in ("GET", "HEAD"):
        reply = client_of(ollama).open("/", method=method, headers={"Accept": accept} if accept else {})
        assert (reply.status_code, reply.mimetype) == (200, "text/html" if is_page else "text/plain")
        assert method == "HEAD" or is_page or reply.data == b"Ollama is running"
        assert "Accept" in reply.headers["Vary"]


def test_nothing_is_inline_and_nothing_comes_from_elsewhere(ollama: ScriptedOllama) -> None:
    client = client_of(ollama)
    for path in ("/", "/setup"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert re.findall(r"<script[^>]*>", answer.text) == re.findall(
            r'<script type="module" src="/static/v-\w+/page/\w+.js">', answer.text
        )
        assert answer.text.count("<script") == 1
        assert "<style" not in answer.text
        assert not re.search(r'\s(style|on\w+)="', answer.text)
        assert not re.search(r'(src|href)="(https?:)?//', answer.text)
        policy = answer.headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert "script-src 'self'" in policy


def test_every_static_file_that_the_pages_name_is_there(ollama: ScriptedOllama) -> None:
    client = client_of(ollama)
    for path in ("/", "/setup"):
        for address in re.findall(r'(?:src|href)="(/static/[^"]+\.\w+)"', client.get(path).text):
            with client.get(address) as answer:
                assert answer.status_code == 200, address
    with client.get("/static/page/chat.js") as script:
        assert script.mimetype == "text/javascript"


@pytest.mark.parametrize("path", ["/", "/setup"])
def test_a_page_names_every_module_of_its_script(ollama: ScriptedOllama, path: str) -> None:
    """Import by import, the browser would ask five times in a row: half a second where an answer takes 0.1 s."""
    client = client_of(ollama)
    text = client.get(path, headers=HTML).text
    named = set(re.findall(r'<link rel="modulepreload" href="/static/([\w./-]+)">', text))
    (script,) = re.findall(r'<script type="module" src="/static/([\w./-]+)">', text)
    for module in {script, *named}:
        with client.get(f"/static/{module}") as answer:
            imported = re.findall(r'(?:from|import) "([^"]+)"', answer.get_data(as_text=True))
        assert {posixpath.normpath(posixpath.join(posixpath.dirname(module), name)) for name in imported} <= named


@pytest.mark.parametrize(
    ("languages", "expected"),
    [("zh-CN,zh;q=0.9", "zh"), ("en-GB", "en"), ("fr", "en"), ("", "en"), ("fr,zh;q=0.5,en;q=0.1", "zh"), ("*", "en")],
)
def test_language_is_the_readers(ollama: ScriptedOllama, languages: str, expected: str) -> None:
    answer = client_of(ollama).get("/", headers={"Accept-Language": languages})
    assert f'<html lang="{expected}"' in answer.text
    assert {"Accept-Language", "Cookie"} <= set(answer.headers["Vary"].split(", "))


def test_switches_win_over_the_browser(ollama: ScriptedOllama) -> None:
    client = client_of(ollama)
    client.set_cookie("clawgate_language", "zh")
    client.set_cookie("clawgate_theme", "dark")
    assert '<html lang="zh" data-theme="dark">' in client.get("/").text
    client.set_cookie("clawgate_language", '"><script>')
    client.set_cookie("clawgate_theme", '"><script>')
    assert '<html lang="en" data-theme="auto">' in client.get("/").text


@pytest.mark.parametrize(
    ("shown", "thinks"),
    [({"capabilities": ["thinking"]}, "yes"), ({"capabilities": ["completion"]}, "no"), ({}, "unknown")],
)
def test_thinking_switch_knows_the_model(ollama: ScriptedOllama, shown: dict[str, object], thinks: str) -> None:
    client = client_of(ollama)
    ollama.script(status(200, shown), path="/api/show")
    client.get("/")
    wait_for(lambda: ollama.requests and ollama.requests[0].finished.is_set(), "Ollama has said")
    wait_for(lambda: f'data-thinks="{thinks}"' in client.get("/").text, "the model's abilities are known")


def test_page_comes_while_ollama_is_away(ollama: ScriptedOllama) -> None:
    ollama.stop()
    assert 'data-thinks="unknown"' in client_of(ollama).get("/").text


def test_page_works_below_a_prefix(ollama: ScriptedOllama) -> None:
    from flask import Flask

    app = Flask("another")
    config = Config(model=ModelConfig(endpoint=ollama.base_url), server=ServerConfig(auth_token=TOKEN))
    app.register_blueprint(create_blueprint(config), url_prefix="/llm")
    client = app.test_client()
    page = client.get("/llm/").text
    assert 'data-base="/llm/"' in page
    assert re.search(r'src="/llm/static/v-\w+/page/chat.js"', page)
    assert client.post("/llm/render", json={"text": "a"}).status_code == 401
    assert client.get("/llm/setup").status_code == 401


def test_setup_names_every_setting_and_hides_the_secret(ollama: ScriptedOllama) -> None:
    client = client_of(ollama, auth_token=TOKEN)
    answer = client.get("/setup", headers={"Authorization": f"Bearer {TOKEN}", **HTML})
    assert answer.status_code == 200
    assert TOKEN not in answer.text
    for setting in gateway_settings():
        assert f'data-setting="{setting.name}"' in answer.text
        assert setting.variable in answer.text


def test_setup_shows_nothing_of_the_bots(ollama: ScriptedOllama) -> None:
    bots = BotsConfig(wecom_bot_id="aib-4711", wecom_secret="s3cret", dingtalk_allowed_users=("manager4711",))
    model = ModelConfig(endpoint=ollama.base_url)
    client = create_app(Config(model=model, server=ServerConfig(auth_token=TOKEN), bots=bots)).test_client()
    shown = client.get("/setup", headers={"Authorization": f"Bearer {TOKEN}", **HTML}).text
    assert "data-setting" in shown
    assert not re.search("4711|s3cret|bots[.]|_BOTS_", shown)


def test_setup_wants_the_token_as_a_page_and_as_json(ollama: ScriptedOllama) -> None:
    client = client_of(ollama, auth_token=TOKEN)
    page = client.get("/setup", headers=HTML)
    assert page.status_code == 401
    assert "data-token-form" in page.text
    assert "data-setting" not in page.text
    other = client.get("/setup")
    assert (other.status_code, other.get_json()["error"]["code"]) == (401, "unauthorized")
    assert client.get("/", headers=HTML).status_code == 200


def test_setup_shows_what_is_up_and_what_mends_the_rest(ollama: ScriptedOllama, nginx_port: int) -> None:
    page = client_of(ollama).get("/setup").text
    states = [state_of(page, hop) for hop in ("browser", "nginx", "clawgate", "ollama", "model")]
    assert states == ["up", "off", "up", "up", "up"], "no fault where nobody wants nginx"
    assert f":{nginx_port}" in page
    ollama.models.clear()
    page = client_of(ollama).get("/setup").text
    assert state_of(page, "model") == "down"
    assert "ollama pull qwen3:32b" in page
    ollama.stop()
    page = client_of(ollama).get("/setup").text
    assert [state_of(page, hop) for hop in ("ollama", "model")] == ["down", "unknown"]
    assert ">ollama serve<" in page


def test_setup_offers_no_command_of_ollamas_for_the_embedded_model(ollama: ScriptedOllama) -> None:
    ollama.script(status(200, {"version": VERSION}), path="/api/version")
    page = client_of(ollama).get("/setup").text
    assert "clawgate&#39;s own small runtime answers here in Ollama&#39;s place" in page
    assert "One answer at a time" in page
    assert "OLLAMA_NUM_PARALLEL" not in page
    assert "ollama run" not in page
    assert "ollama serve" not in page
    assert "ollama pull qwen3:32b &amp;&amp; clawgate up" in page, "the way to a real model"
    ollama.models[:] = ["smollm2:135m"]
    ollama.script(status(200, {"version": VERSION}), path="/api/version")
    page = client_of(ollama).get("/setup").text
    assert state_of(page, "model") == "down"
    assert "ollama pull qwen3:32b<" not in page, "the embedded runtime pulls nothing"


def test_setup_says_what_is_at_the_endpoint_and_a_stranger_sees_less(ollama: ScriptedOllama) -> None:
    moved = raw(b"HTTP/1.1 301 Moved\r\nLocation: https://gpu.internal/api/version\r\nContent-Length: 0\r\n\r\n")
    for headers, here in (({}, True), ({"Accept-Language": "zh"}, True), ({}, False)):
        ollama.script(moved, keep(), path="/api/version")
        peer = HERE if here else ELSEWHERE
        page = client_of(ollama).get("/setup", headers=headers, environ_base={"REMOTE_ADDR": peer}).text
        assert [state_of(page, hop) for hop in ("ollama", "model")] == ["down", "unknown"]
        assert ("https://gpu.internal" in page) is here
        assert "{detail}" not in page
        assert "ollama serve" not in page
    assert "Something answers there that cannot be used as Ollama." in page


def test_setup_knows_a_request_that_came_through_a_proxy(ollama: ScriptedOllama, nginx_port: int) -> None:
    page = (
        client_of(ollama)
        .get("/setup", headers={"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": f"gate.example:{nginx_port}"})
        .text
    )
    assert state_of(page, "nginx") == "up"
    assert f"http://gate.example:{nginx_port}" in page


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-Host": "<script>"},
        {"X-Forwarded-Host": "evil.example/path"},
        {"X-Forwarded-Host": "one.example, two.example"},
        {"X-Forwarded-Host": ""},
        {"Host": "local host"},
        {"Host": "["},
        {"Host": '"><b>'},
    ],
    ids=str,
)
def test_setup_shows_no_host_that_is_none(ollama: ScriptedOllama, headers: dict[str, str]) -> None:
    answer = client_of(ollama, host="0.0.0.0", auth_token=TOKEN).get("/setup", headers={**WITH_TOKEN, **headers})
    assert answer.status_code == 200
    assert addresses_of(answer.text)[0] == "http://localhost"


def test_setup_takes_the_host_from_a_trusted_proxy_alone(ollama: ScriptedOllama) -> None:
    client = client_of(ollama, auth_token=TOKEN)
    headers = {**WITH_TOKEN, "X-Forwarded-Host": "gate.example:8080"}
    for peer, shown in (("127.0.0.1", "http://gate.example:8080"), ("192.0.2.7", "http://localhost")):
        page = client.get("/setup", headers=headers, environ_base={"REMOTE_ADDR": peer}).text
        assert addresses_of(page)[0] == shown


HERE, ELSEWHERE = "127.0.0.1", "192.0.2.7"


@pytest.mark.parametrize(
    ("peer", "headers", "is_shown"),
    [
        (HERE, {}, True),
        ("::1", {}, True),
        ("::ffff:127.0.0.1", {}, True),
        (HERE, {"Host": ""}, True),
        (HERE, {"X-Forwarded-For": HERE, "X-Forwarded-Host": "gate.example"}, True),
        (HERE, {"X-Forwarded-For": ELSEWHERE}, False),
        (HERE, {"X-Forwarded-For": f"{HERE}, {ELSEWHERE}"}, False),
        (HERE, {"X-Forwarded-For": f"{ELSEWHERE}, {HERE}"}, False),
        (HERE, {"X-Forwarded-For": "unix:"}, False),
        (HERE, {"X-Real-IP": ELSEWHERE}, False),
        (HERE, {"Via": "1.1 proxy"}, False),
        (HERE, {"Forwarded": "for=127.0.0.1"}, False),
        (HERE, {"X-Forwarded-Host": "gate.example"}, False),
        (HERE, {"Host": "evil.example"}, False),
        ("::1", {"X-Forwarded-For": HERE}, False),
        (ELSEWHERE, {}, False),
        (ELSEWHERE, {"X-Forwarded-For": HERE}, False),
        ("10.0.0.1", {"X-Forwarded-For": HERE}, False),
    ],
)
def test_setup_shows_the_configuration_to_this_machine_alone(
    ollama: ScriptedOllama, peer: str, headers: dict[str, str], is_shown: bool
) -> None:
    """On an open port a name that points here is served, and sees no more than any other client."""
    client = client_of(ollama, host="0.0.0.0", trusted_proxies=("127.0.0.1", "10.0.0.0/8"))
    page = client.get("/setup", headers=headers, environ_base={"REMOTE_ADDR": peer}).text
    states = [state_of(page, hop) for hop in ("browser", "clawgate", "ollama", "model")]
    assert states == ["up"] * 4
    assert ("data-setting" in page) is is_shown
    assert ("data-closed" in page) is not is_shown
    assert (str(ollama.port) in page) is is_shown
    if not is_shown:
        assert addresses_of(page) == []
        assert not re.search(r"127\.0\.0\.1|0\.0\.0\.0|11434|/etc/|config\.yaml|CLAWGATE_", page)


@pytest.mark.parametrize("found", ["absent", "stopped", "elsewhere", "another", "stranger"])
def test_setup_tells_a_stranger_nothing_of_what_else_is_on_the_machine(
    ollama: ScriptedOllama, monkeypatch: pytest.MonkeyPatch, found: nginx.Word
) -> None:
    monkeypatch.setattr(nginx, "found", lambda *_: nginx.Finding(found, "start nginx", "mend nginx", "Secret/1.0"))
    client = client_of(ollama, host="0.0.0.0")
    page = client.get("/setup", environ_base={"REMOTE_ADDR": ELSEWHERE}).text
    assert state_of(page, "nginx") == "off"
    assert "No proxy stands before this page." in page
    assert not re.search(r"nginx</code>|Secret|nstalled|8080|another site", page)


def test_setup_quotes_a_model_name_for_the_shell(ollama: ScriptedOllama) -> None:
    config = Config(model=ModelConfig(endpoint=ollama.base_url, model_name="m; rm -rf $HOME"))
    page = create_app(config).test_client().get("/setup").text
    assert "<code data-cure>ollama pull &#39;m; rm -rf $HOME&#39;</code>" in page


def test_setup_shows_it_to_whoever_has_the_token_from_anywhere(ollama: ScriptedOllama) -> None:
    client = client_of(ollama, auth_token=TOKEN)
    page = client.get("/setup", headers=WITH_TOKEN, environ_base={"REMOTE_ADDR": ELSEWHERE}).text
    assert "data-setting" in page


def test_setup_asks_nginx_once_however_many_look(ollama: ScriptedOllama, monkeypatch: pytest.MonkeyPatch) -> None:
    released, asked = threading.Event(), []

    def serve(connection: Connection) -> None:
        asked.append(connection)
        released.wait(DEADLINE_S)

    app = create_app(Config(model=ModelConfig(endpoint=ollama.base_url)))
    server = SocketServer(serve, host="127.0.0.1", port=0)
    monkeypatch.setattr(nginx, "PORT", server.port)
    server.start()
    try:
        with ThreadPoolExecutor(20) as pool:
            pages = [answer.text for answer in pool.map(lambda _: app.test_client().get("/setup"), range(20))]
        assert {state_of(page, "nginx") for page in pages} <= {"off", "unknown"}
        assert len(asked) == 1
    finally:
        released.set()
        server.close()


@pytest.mark.parametrize(
    ("answer", "state", "said"),
    [
        (
            b'HTTP/1.1 200 OK\r\nServer: nginx/1.22\r\nContent-Length: 16\r\n\r\n{"status":"ok"}\n',
            "bypassed",
            "reaches clawgate",
        ),
        (b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Length: 2\r\n\r\nok", "off", "another site&#39;s configuration"),
        (
            b"HTTP/1.1 404 No\r\nServer: nginx\r\nContent-Length: 0\r\n\r\n",
            "off",
            "nginx -t &amp;&amp; nginx -s reload",
        ),
        (b"HTTP/1.1 502 Bad\r\nServer: nginx\r\nContent-Length: 0\r\n\r\n", "down", "must name http://127.0.0.1:18789"),
        (
            b"HTTP/1.1 200 OK\r\nServer: <Other>\r\nContent-Length: 0\r\n\r\n",
            "off",
            "&lt;Other&gt; answers on port 8080",
        ),
        (b"SSH-2.0-OpenSSH\r\n", "off", "Another server answers on port 8080"),
    ],
)
def test_setup_looks_at_what_listens_in_nginx_place(
    ollama: ScriptedOllama, monkeypatch: pytest.MonkeyPatch, answer: bytes, state: str, said: str
) -> None:
    def serve(connection: Connection) -> None:
        connection.sock.sendall(answer)

    server = SocketServer(serve, host="127.0.0.1", port=0)
    monkeypatch.setattr(nginx, "PORT", server.port)
    server.start()
    try:
        page = client_of(ollama).get("/setup").text
        assert state_of(page, "nginx") == state
        assert said in page
    finally:
        server.close()


@pytest.mark.parametrize(
    ("is_installed", "runs", "word", "command"),
    [
        (False, False, "absent", ""),
        (True, False, "stopped", f"{nginx.put_files()} && nginx -t && nginx"),
        (True, True, "elsewhere", f"{nginx.put_files()} && nginx -t && nginx -s reload"),
        (False, True, "elsewhere", f"{nginx.put_files()} && nginx -t && nginx -s reload"),
    ],
)
def test_the_cure_is_that_of_the_nginx_that_is_found(
    monkeypatch: pytest.MonkeyPatch, is_installed: bool, runs: bool, word: str, command: str
) -> None:
    """What does not run cannot be reloaded, and what is not installed is installed first."""
    monkeypatch.setattr(nginx, "SYSTEMD", Path("/nowhere"))
    monkeypatch.setattr(nginx, "INSTALLERS", {})
    found = nginx.absent(is_installed, runs)
    assert (found.word, found.start, found.cure, found.is_fault) == (word, command, "", False)
    monkeypatch.setattr(nginx, "SYSTEMD", Path("/"))
    monkeypatch.setattr(nginx, "INSTALLERS", {"no-such": "no", "sh": "sh install nginx"})
    assert nginx.absent(False, False).start == "sh install nginx"
    assert nginx.absent(True, False).start.endswith("&& nginx -t && systemctl reload-or-restart nginx")


def test_the_command_for_nginx_puts_the_files_that_the_program_carries(tmp_path: Path) -> None:
    """From any folder, and without a checkout: somebody who has only the program copies it from the page."""
    command = nginx.put_files().replace("/etc/nginx", str(tmp_path / "nginx"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    subprocess.run(["sh", "-c", command], cwd=tmp_path, env=environment, timeout=DEADLINE_S, check=True)
    for name, folder in nginx.FILES.items():
        placed = tmp_path / "nginx" / Path(folder).name / name
        assert placed.read_bytes() == (ROOT / "nginx" / name).read_bytes()


def test_a_process_of_nginx_is_seen(tmp_path: Path) -> None:
    assert not nginx.is_running(tmp_path / "no such folder")
    for name, program in (("1", "systemd"), ("12", "nginx"), ("self", "nginx"), ("9", None)):
        (tmp_path / name).mkdir()
        if program:
            (tmp_path / name / "comm").write_text(f"{program}\n")
        assert nginx.is_running(tmp_path) is (name != "1")
    assert isinstance(nginx.is_running(), bool)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (None, ["setup.model.not_loaded"]),
        ({"size": 20_000_000_000, "size_vram": 20_000_000_000, "context_length": 4096}, ["20.0 GB", "4,096"]),
        ({"size": 20_000_000_000, "size_vram": 5_000_000_000}, ["20.0 GB", "25"]),
        ({"size": 91_000_000, "size_vram": 0, "context_length": True}, ["91 MB"]),
        ({"size": 0, "size_vram": 7}, []),
        ({"size": "x", "size_vram": None, "context_length": -1}, []),
    ],
)
def test_setup_says_how_ollama_holds_the_model(
    ollama: ScriptedOllama, entry: dict[str, object] | None, said: list[str]
) -> None:
    listed = [] if entry is None else [{"name": "QWEN3:32b", **entry}]
    ollama.script(status(200, {"models": listed}), path="/api/ps")
    facts = memory_of(loaded(OllamaClient(ollama.base_url), "qwen3:32b"))
    assert all(word in str(facts) for word in said)
    assert bool(facts) is bool(said)


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"models": 5}', b'{"models": [5]}', b"<html>"], ids=repr)
def test_setup_says_nothing_of_it_where_ollama_does_not(ollama: ScriptedOllama, body: bytes) -> None:
    ollama.script(status(200, body), path="/api/ps")
    assert loaded(OllamaClient(ollama.base_url), "qwen3:32b") == Loaded()


def test_setup_says_it_in_the_page(ollama: ScriptedOllama) -> None:
    ollama.loaded.append("qwen3:32b")
    ollama.context_length = 32768
    page = client_of(ollama).get("/setup").text
    assert "In memory: 20.0 GB, all of it on the CPU." in page
    assert "Its context holds 32,768 tokens." in page
    stranger = client_of(ollama).get("/setup", environ_base={"REMOTE_ADDR": ELSEWHERE}).text
    assert "tokens" not in stranger
