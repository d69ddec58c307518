"""`Allow` names the methods that each address really takes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask

from clawgate import create_app, create_blueprint
from tests.http.asking import path_of
from tests.support.client import call
from tests.support.gateway import Gateway

METHODS = {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}


def alone() -> Flask:
    """Return the gateway as its own application."""
    return create_app()


def under_a_prefix() -> Flask:
    """Return another application that has the gateway under a prefix."""
    app = Flask("other", static_folder=None)
    app.register_blueprint(create_blueprint(), url_prefix="/llm")
    return app


@pytest.mark.parametrize("build", [alone, under_a_prefix])
def test_allow_is_what_a_route_answers(build: Callable[[], Flask]) -> None:
    app = build()
    client = app.test_client()
    for path in {path_of(rule) for rule in app.url_map.iter_rules()}:
        replies = {method: client.open(path, method=method, buffered=True) for method in METHODS}
        taken = sorted(method for method, reply in replies.items() if reply.status_code != 405)
        assert "OPTIONS" in taken
        assert ("GET" in taken) == ("HEAD" in taken), path
        assert len(taken) >= 2, path
        replies["BREW"] = client.open(path, method="BREW")
        for method, reply in replies.items():
            is_named = method == "OPTIONS" or reply.status_code == 405
            assert sorted(reply.allow) == (taken if is_named else []), (method, path)


def test_two_rules_of_one_path_are_one_answer(gate: Gateway) -> None:
    for path, allowed in (
        ("/api/chat", "GET, HEAD, OPTIONS, POST"),
        ("/api/sessions/s-nobody", "DELETE, GET, HEAD, OPTIONS"),
        ("/api/interrupt", "OPTIONS, POST"),
    ):
        refused, asked = (call(method, gate.base_url, path) for method in ("PUT", "OPTIONS"))
        assert (refused.status, refused.json["error"]["code"]) == (405, "method_not_allowed")
        assert (asked.status, asked.json) == (204, None)
        assert refused.headers["Allow"] == asked.headers["Allow"] == allowed


def test_what_is_not_there_names_no_method(gate: Gateway) -> None:
    for method in ("PUT", "OPTIONS"):
        assert "Allow" not in call(method, gate.base_url, "/nowhere").headers
