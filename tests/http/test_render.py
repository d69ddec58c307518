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
from clawgate.web.pages.render import MAX_RENDERS, MAX_TEXT_BYTES, MAX_TEXTS
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

    def held(_: Renderer, texts: list[str], _definitions: str) -> list[str]:
        begun.release()
        assert go_on.wait(DEADLINE_S)
        return texts

    with monkeypatch.context() as patch, ThreadPoolExecutor() as pool:
        patch.setattr(Renderer, "htmls_of", held)
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
        patch.setattr(Renderer, "htmls_of", lambda *_: 1 / 0)
        for _ in range(MAX_RENDERS + 1):
            assert render(page, "a").status_code == 500
    assert render(page, "a").status_code == 200


def test_many_texts_are_answered_in_order_each_rendered_by_itself(page: FlaskClient) -> None:
    texts = ["**a", "b**", "[c]", "", "[c]: http://own/\n\n[c] [d]", "- e"]
    answer = page.post("/render", json={"texts": texts, "definitions": "[c]: http://given/\n\ntext"})
    assert answer.status_code == 200
    given = '<p><a href="http://given/" target="_blank" rel="noopener noreferrer nofollow">c</a>'
    assert answer.get_json() == {
        "htmls": [
            "<p>**a</p>\n",
            "<p>b**</p>\n",
            given + "</p>\n",
            "",
            given + " [d]</p>\n",
            "<ul>\n<li>\n<p>e</p>\n</li>\n</ul>\n",
        ]
    }
    assert page.post("/render", json={"texts": []}).get_json() == {"htmls": []}
    assert page.post("/render", json={"text": "[c]", "definitions": "[c]: http://given/"}).get_json() == {
        "html": given + "</p>\n"
    }


@pytest.mark.parametrize("hostile", ["*a **b " * 200, "[" * 1400, "- [ ] a\n" * 160, "[a]: b\n" * 200, "x"])
def test_many_texts_take_no_more_time_than_one(page: FlaskClient, hostile: str) -> None:
    began = time.thread_time()
    body = {"texts": [hostile[:1000]] * 250, "definitions": "[a]: b\n" * 1000 if hostile == "x" else ""}
    answer = page.post("/render", json=body)
    assert time.thread_time() - began < SLOWEST_S
    assert len(answer.get_json()["htmls"]) == 250


def test_too_much_text_is_refused(page: FlaskClient) -> None:
    assert render(page, "a" * MAX_TEXT_BYTES).status_code == 200
    for text in ("a" * (MAX_TEXT_BYTES + 1), "春" * (MAX_TEXT_BYTES // 2)):
        answer = render(page, text)
        assert answer.status_code == 413
        assert answer.get_json()["error"] == {
            "code": "too_large",
            "message": f"text: expected at most {MAX_TEXT_BYTES} bytes of Markdown",
        }


def test_too_many_texts_and_too_much_in_all_are_refused(page: FlaskClient) -> None:
    half = "a" * (MAX_TEXT_BYTES // 2)
    bodies: dict[str, dict[str, Any]] = {
        "texts": {"texts": [half, half, "a"]},
        "texts and definitions": {"texts": [half, half], "definitions": "a"},
        "text and definitions": {"text": half, "definitions": half + "a"},
    }
    for named, body in bodies.items():
        answer = page.post("/render", json=body)
        assert answer.status_code == 413
        assert answer.get_json()["error"]["message"] == f"{named}: expected at most 262144 bytes of Markdown"
    assert page.post("/render", json={"texts": [half, half]}).status_code == 200
    assert page.post("/render", json={"texts": ["a"] * MAX_TEXTS}).status_code == 200
    answer = page.post("/render", json={"texts": ["a"] * (MAX_TEXTS + 1)})
    assert answer.status_code == 400
    assert answer.get_json()["error"]["message"] == "texts: expected a list of at most 256 texts, got 257"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "expected exactly one of `text` and `texts`, got neither"),
        ({"definitions": "a"}, "expected exactly one of `text` and `texts`, got neither"),
        ({"text": "a", "texts": ["a"]}, "expected exactly one of `text` and `texts`, got both"),
        ({"texts": "a"}, "texts: expected a list of at most 256 texts, got str"),
        ({"texts": ["a", 1]}, "texts[1]: expected a text, got int"),
        ({"texts": ["a", None]}, "texts[1]: expected a text, got null"),
        ({"text": "a", "definitions": []}, "definitions: expected a text, got array"),
    ],
)
def test_wrong_fields_are_named(page: FlaskClient, body: Any, message: str) -> None:
    answer = page.post("/render", json=body)
    assert (answer.status_code, answer.get_json()["error"]["message"]) == (400, message)


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
