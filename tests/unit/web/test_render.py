"""`POST /render`: Markdown as harmless HTML, whatever comes in."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from pygments.lexers import get_lexer_by_name

from clawgate.app import create_app, reloaded
from clawgate.config import Config, ServerConfig
from clawgate.web.pages.highlight import HIGHLIGHTED, MAX_HIGHLIGHTED
from clawgate.web.pages.markdown import Renderer
from clawgate.web.pages.render import MAX_RENDERS, MAX_TEXT_BYTES
from clawgate.web.pages.sanitiser import ATTRIBUTES, FIXED_VALUES, TAGS
from tests.support.tools import DEADLINE_S

HARMLESS = {"target", "rel", *(name for names in (*ATTRIBUTES.values(), *FIXED_VALUES.values()) for name in names)}
SLOWEST_S = 1.0
"""Of CPU: what the README promises for any text."""


@pytest.fixture(scope="module")
def page() -> FlaskClient:
    return create_app().test_client()


@pytest.fixture(scope="module")
def html_of() -> Callable[[str], str]:
    return Renderer().html_of


def render(page: FlaskClient, text: Any) -> Any:
    return page.post("/render", json={"text": text})


def test_markdown_becomes_html(page: FlaskClient) -> None:
    answer = render(page, "# 春\n\n**光** ~~x~~")
    assert answer.status_code == 200
    assert answer.get_json() == {"html": "<h1>春</h1>\n<p><strong>光</strong> <s>x</s></p>\n"}


def test_tables_tasks_and_code_are_rendered(html_of: Callable[[str], str]) -> None:
    assert '<th class="right">' in html_of("|a|\n|-:|\n|1|")
    assert '<label><input disabled="" type="checkbox" checked=""> a</label>' in html_of("- [x] a")
    assert '<span class="k">def</span>' in html_of("```python\ndef f(): pass\n```")
    assert '<code class="language-python">' in html_of("```python\nx\n```")


def test_unknown_and_hostile_languages_stay_plain(html_of: Callable[[str], str]) -> None:
    assert html_of("```nosuch\n<b>\n```") == '<pre><code class="language-nosuch">&lt;b&gt;\n</code></pre>\n'
    assert "onload" not in html_of('```x"onload=alert(1)\ny\n```')


def test_links_open_apart(html_of: Callable[[str], str]) -> None:
    assert html_of("[a](https://b.c)") == (
        '<p><a href="https://b.c" target="_blank" rel="noopener noreferrer nofollow">a</a></p>\n'
    )


def test_images_elsewhere_become_links(html_of: Callable[[str], str]) -> None:
    assert "<img" not in html_of("![a](https://b.c/d.png) ![e](/api/status) ![f](//g.h/i.png)")
    assert '<a class="remote-image" href="https://b.c/d.png"' in html_of("![a](https://b.c/d.png)")
    assert '<img src="data:image/png;base64,AAAA" alt="a">' in html_of("![a](data:image/png;base64,AAAA)")


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<svg/onload=alert(1)>",
        "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
        "<a href=javascript:alert(1)>x</a>",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](java&#x0A;script:alert(1))",
        "[x](vbscript:x) [y](file:///etc/passwd)",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "![x](data:image/svg+xml;base64,PHN2Zz4=)",
        '![x](https://b.c "\\" onerror=\\"alert(1)")',
        '[x](https://b.c"onclick="alert(1))',
        '<http://b.c"onclick=alert(1)>',
        "```\n</code></pre><script>alert(1)</script>",
        "```html\n<script>alert(1)</script>\n```",
        "~~~'\"><img src=x onerror=alert(1)>\nx\n~~~",
        "|<img src=x onerror=alert(1)>|\n|-|\n|<style>*{display:none}</style>|",
        "- [x] <input autofocus onfocus=alert(1)>",
        "[a]: javascript:alert(1)\n\n[a]",
        "<!--><img src=x onerror=alert(1)>-->",
        "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    ],
)
def test_hostile_text_is_harmless(html_of: Callable[[str], str], text: str) -> None:
    check_harmless(html_of(text))


@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from("<>\"'`~[]()!#*_-=|&;:/\\ \n\tax1\x00\u2028scriptonjavadata:"), max_size=80))
def test_any_text_is_harmless(text: str) -> None:
    check_harmless(SHARED.html_of(text))


SHARED = Renderer()


def check_harmless(html: str) -> None:
    for closing, name, rest in re.findall(r"<(/?)([a-zA-Z0-9]*)([^>]*)>", html):
        assert name in TAGS, html
        assert closing or set(re.findall(r'([a-zA-Z-]+)="[^"]*"', rest)) <= HARMLESS, html
    for address in re.findall(r'href="([^"]*)"', html):
        assert re.match(r"https?:|mailto:", address), html
    for source in re.findall(r'src="([^"]*)"', html):
        assert source.startswith("data:image/"), html


@pytest.mark.parametrize(
    "text",
    [
        *("", "\0", "\ufeff", "[" * 60_000, "![" * 60_000, "[a](" * 20_000, "> " * 20_000, "*a **b " * 10_000),
        *("|" * 20_000 + "\n" + "|-" * 20_000, "`" * 50_000, "```py\n" + "(" * 50_000, "- " * 20_000),
    ],
    ids=lambda text: repr(text[:8]),
)
def test_odd_text_is_answered_in_time(page: FlaskClient, text: str) -> None:
    began = time.thread_time()
    assert render(page, text).status_code == 200
    assert time.thread_time() - began < SLOWEST_S


@pytest.mark.parametrize("unit", ["\t", "a("])
@pytest.mark.parametrize("language", sorted(HIGHLIGHTED))
def test_no_code_takes_long_to_colour(language: str, unit: str) -> None:
    """Expressions that go back and back, in one match that holds the interpreter or in many that hold a core."""
    assert get_lexer_by_name(language).aliases[0] == language
    began = time.thread_time()
    SHARED.html_of(f"```{language}\n{(unit * MAX_HIGHLIGHTED)[: MAX_HIGHLIGHTED - 1]}\n```\n")
    assert time.thread_time() - began < SLOWEST_S


@pytest.mark.parametrize("language", ["easytrieve", "autohotkey", "mcschema", "scala"])
def test_a_language_that_could_take_long_stays_plain(language: str) -> None:
    html = SHARED.html_of(f"```{language}\nif x then 1\n```\n")
    assert (html.count("<span"), "if x then 1" in html) == (0, True)


def test_text_that_the_parser_cannot_take_comes_back_as_text(
    html_of: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> str:
        raise ValueError

    with monkeypatch.context() as patch:
        patch.setattr("markdown_it.parser_block.ParserBlock.parse", fail)
        assert html_of("<b>a</b>") == "<pre><code>&lt;b&gt;a&lt;/b&gt;</code></pre>\n"
    with monkeypatch.context() as patch:
        patch.setattr("clawgate.web.pages.markdown._Html.fence", fail)
        html = Renderer().html_of("a\n\n```\n<b>\n```\n\nc")
    assert html == "<p>a</p>\n<pre><code>```\n&lt;b&gt;\n```</code></pre>\n<p>c</p>\n"


def test_more_renders_at_once_than_there_are_places_are_told_to_come_again(
    page: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Semaphore(0), threading.Event()
    after_reload = reloaded(page.application, Config()).app

    def held(_: Renderer, text: str) -> str:
        begun.release()
        assert go_on.wait(DEADLINE_S)
        return text

    with monkeypatch.context() as patch, ThreadPoolExecutor() as pool:
        patch.setattr(Renderer, "html_of", held)
        answers = [pool.submit(render, page.application.test_client(), "a") for _ in range(MAX_RENDERS)]
        assert all(begun.acquire(timeout=DEADLINE_S) for _ in answers)
        refused = render(page, "a")
        assert render(after_reload.test_client(), "a").status_code == 503, "the places are the process's"
        assert render(page, 1).status_code == 400
        go_on.set()
        assert [answer.result().status_code for answer in answers] == [200] * MAX_RENDERS
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert refused.get_json()["error"] == {"code": "busy", "message": "2 texts are being rendered; try again"}
    assert render(page, "a").status_code == 200


def test_a_render_that_fails_gives_its_place_back(page: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Renderer, "html_of", lambda *_: 1 / 0)
        for _ in range(MAX_RENDERS + 1):
            assert render(page, "a").status_code == 500
    assert render(page, "a").status_code == 200


def test_too_much_text_is_refused(page: FlaskClient) -> None:
    assert render(page, "a" * MAX_TEXT_BYTES).status_code == 200
    for text in ("a" * (MAX_TEXT_BYTES + 1), "春" * (MAX_TEXT_BYTES // 2)):
        answer = render(page, text)
        assert answer.status_code == 413
        assert answer.get_json()["error"] == {
            "code": "too_large",
            "message": f"text: expected at most {MAX_TEXT_BYTES} bytes of Markdown",
        }


def test_too_large_body_is_refused() -> None:
    small = create_app(Config(server=ServerConfig(max_body_bytes=1024))).test_client()
    assert render(small, "a" * 2000).get_json()["error"]["code"] == "too_large"


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        (b"{", "application/json", 400, "bad_request"),
        (b"[]", "application/json", 400, "bad_request"),
        (b"{}", "application/json", 400, "bad_request"),
        (b'{"text": 1}', "application/json", 400, "bad_request"),
        (b'{"text": "\\ud800"}', "application/json", 400, "bad_request"),
        (b'{"text": "a"}', "text/plain", 415, "unsupported_media_type"),
    ],
)
def test_wrong_bodies_are_named(page: FlaskClient, body: bytes, content_type: str, status: int, code: str) -> None:
    answer = page.post("/render", data=body, content_type=content_type)
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (status, code)


def test_token_is_wanted_where_there_is_one() -> None:
    locked = create_app(Config(server=ServerConfig(auth_token="a-secret-token"))).test_client()
    body = json.dumps({"text": "a"})
    refused = locked.post("/render", data=body, content_type="application/json")
    assert (refused.status_code, refused.get_json()["error"]["code"]) == (401, "unauthorized")
    headers = {"Authorization": "Bearer a-secret-token"}
    assert locked.post("/render", data=body, content_type="application/json", headers=headers).status_code == 200
