"""The front ends that people copy, run under node against nginx: the original article's, and docs/api.md's own."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import client
from tests.support.gateway import Gateway
from tests.support.nginx import Nginx
from tests.support.ollama import ScriptedOllama, done, every, text, texts, thinking, wait
from tests.support.tools import DEADLINE_S, ROOT, require

WORDS = "春光满园关不住,一枝红杏出墙来。故宫、天坛、颐和园……“京”\u2028🐉é\n\n第二段"
ARTICLE = Path(__file__).with_name("article_snippet.mjs")
PING_S = 0.1

_API = """
const base = {base};
const box = [];
const appendToChatBox = (text) => box.push(String(text));
const console = {{ log() {{}} }};
const fetch = (path, options) => globalThis.fetch(base + path, options);
{snippet}
process.stdout.write(JSON.stringify(box));
"""


@pytest.fixture
def front(gateway: Callable[..., Gateway], nginx: Callable[..., Nginx]) -> str:
    """Nginx before a gateway with fast heartbeats."""
    require_node()
    return nginx(gateway(stream={"heartbeat_seconds": PING_S, "smoothing_ms": 10, "stall_seconds": 60})).base_url


def require_node() -> str:
    """Return node, from 18 on, where `fetch` is built in."""
    node = require("node", "the test runs a page's script")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=DEADLINE_S, check=True)
    if int(version.stdout.lstrip("v").partition(".")[0]) < 18:
        require("node-18", "the node that is installed has no fetch")
    return node


def run(*arguments: str) -> list[str]:
    """Run a script under node and return what it appended."""
    done = subprocess.run(
        [require_node(), *arguments], capture_output=True, encoding="utf-8", timeout=DEADLINE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    appended: list[str] = json.loads(done.stdout)
    return appended


def scripted(ollama: ScriptedOllama) -> None:
    """Think, then say the words one by one, with time for some pings in between."""
    pause = threading.Event()  # never set: the timer below ends the pause
    threading.Timer(5 * PING_S, pause.set).start()
    ollama.script(
        thinking("我想想"),
        texts(*WORDS[:8]),
        wait(pause),
        every(0.01, len(WORDS) - 8, lambda index: text(WORDS[8 + index])),
        done(),
    )


def test_article_shows_clean_text_but_for_its_pings(front: str, ollama: ScriptedOllama) -> None:
    scripted(ollama)
    appended = run(str(ARTICLE), front, "春天")
    assert "".join(piece for piece in appended if piece != "undefined") == WORDS
    assert "undefined" in appended, "no ping came: the test shows nothing"


def test_article_shows_clean_text_when_it_skips_pings(front: str, ollama: ScriptedOllama) -> None:
    scripted(ollama)
    assert "".join(run(str(ARTICLE), front, "春天", "skip-pings")) == WORDS


def test_api_document_shows_clean_text(front: str, ollama: ScriptedOllama) -> None:
    ollama.script(text("The session that the document's curl lines begin"), done())
    client.post(front, "/api/chat", {"session_id": "demo", "messages": [{"role": "user", "content": "Hi"}]})
    scripted(ollama)
    snippets = re.findall(r"```js\n(.*?)```", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), re.DOTALL)
    snippet = next(each for each in snippets if "appendToChatBox" in each)
    script = _API.format(base=json.dumps(front), snippet=snippet)
    assert "".join(run("--input-type=module", "--eval", script)) == WORDS
