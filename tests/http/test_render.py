"""`POST /render`: Markdown in, HTML out; what is refused, how many render at a time, and how long one may take."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask.testing import FlaskClient

from clawgate.app import create_app, reloaded
from clawgate.config import Config, ServerConfig
from clawgate.web.pages.markdown import Renderer
from clawgate.web.pages.render import MAX_RENDERS, MAX_TEXT_BYTES
from tests.support.tools import DEADLINE_S

SLOWEST_S = 1.0
"""The CPU that the README promises for any text."""


@pytest.fixture(scope="module")
def page() -> FlaskClient:
    return create_app().test_client()


def render(page: FlaskClient, text: Any) -> Any:
    return page.post("/render", json={"text": text})


def test_markdown_is_answered_with_html(page: FlaskClient) -> None:
    answer = render(page, "# 春\n\n**光** ~~x~~")
    assert answer.status_code == 200
    assert answer.get_json() == {"html": "<h1>春</h1>\n<p><strong>光</strong> <s>x</s></p>\n"}


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


def test_more_renders_at_once_than_there_are_places_are_refused_for_now(
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
