"""The test harness: a scripted Ollama, a strict reader of streams, real gateways and real nginxes.

Tests import from the modules (`from tests.support.ollama import ScriptedOllama, text, done`); most get what they need
from the fixtures in `tests/conftest.py`. Nothing here imports clawgate: the harness sees only sockets and processes.
"""
