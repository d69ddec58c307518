"""Fixtures of the tests with other people's clients: those of tests/http, a gateway for a whole module."""

from tests.http.conftest import gate, pytest_make_parametrize_id, upstream

__all__ = ["gate", "pytest_make_parametrize_id", "upstream"]
