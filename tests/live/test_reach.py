"""The way to Ollama as an operator sees it: a private authority, an endpoint that is the gateway's own, `check`."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.command import clawgate
from tests.support.gateway import Gateway
from tests.support.nginx import Nginx
from tests.support.ollama import ScriptedOllama, status
from tests.support.process import ChildProcess
from tests.support.reloading import reload
from tests.support.sse import end_of
from tests.support.tls import Authority, TlsFront
from tests.support.tools import DEADLINE_S, free_port, wait_for

PATIENT = {"retry_seconds": 10 * DEADLINE_S}
"""A fault that was waited for would not end in a test's time."""


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A private authority."""
    return Authority(tmp_path / "authority")


@pytest.fixture
def front(ollama: ScriptedOllama, authority: Authority) -> Iterator[TlsFront]:
    """The scripted Ollama behind https."""
    with TlsFront(ollama.port, authority.context()) as front:
        yield front


def end_of_a_chat(gateway: Gateway) -> dict[str, object]:
    """The end event of a short answer."""
    with gateway.stream("Hi") as stream:
        stream.read_all()
        return dict(end_of(stream.events))


def test_a_private_authority_is_told_and_taken_by_a_reload(
    gateway: Callable[..., Gateway], front: TlsFront, authority: Authority, tmp_path: Path
) -> None:
    given = tmp_path / "given.pem"
    started = gateway(model={"endpoint": front.base_url}, stream=PATIENT)
    ended = end_of_a_chat(started)
    error = ended["error"]
    assert isinstance(error, dict)
    assert error["code"] == "upstream_unreachable"
    assert error["message"].endswith("put that authority's certificate into a file and name it in model.ca_file")
    assert front.handshakes == 1
    assert started.get("/api/status").json["upstream"]["problem"] == "authority"
    assert started.get("/readyz").status == 503
    page = str(started.get("/setup").json)
    assert 'data-hop="ollama" data-state="down"' in page
    assert "name it in model.ca_file" in page
    assert "ollama serve" not in page
    shutil.copy(authority.certificate, given)
    reload(started, r"reloaded: model\.ca_file$", model={"ca_file": str(given)})
    assert end_of_a_chat(started)["done_reason"] == "stop"
    wait_for(lambda: started.get("/readyz").status == 200, "it is ready")
    shutil.copy(Authority(tmp_path / "other").certificate, given)
    reload(started, r"reloaded: nothing has changed$")
    assert end_of_a_chat(started)["done_reason"] == "error", "another certificate in the same file counts"
    reload(started, r"WARNING clawgate: model\.verify is false: whatever certificate", model={"verify": False})
    assert end_of_a_chat(started)["done_reason"] == "stop"
    reload(started, r"ERROR clawgate: not reloaded: .*model\.ca_file: .* which does not exist", model={"ca_file": "/x"})


def test_check_names_the_cause_and_the_cure(front: TlsFront, authority: Authority) -> None:
    at = {"CLAWGATE_MODEL_ENDPOINT": front.base_url}
    done = clawgate("check", env=at)
    assert (done.status, done.stderr) == (1, "")
    line = done.stdout.splitlines()[1]
    assert line.startswith(
        f"not ready: no Ollama answers at {front.base_url}: it has a TLS certificate of an authority"
    )
    assert line.endswith("; put that authority's certificate into a file and name it in model.ca_file")
    done = clawgate("check", env={**at, "CLAWGATE_MODEL_CA_FILE": str(authority.certificate.parent)})
    assert (done.status, done.stdout.splitlines()[1]) == (0, f"ok: Ollama 0.12.6 at {front.base_url}")
    done = clawgate("check", env={**at, "CLAWGATE_MODEL_VERIFY": "false", "CLAWGATE_SERVER_AUTH_TOKEN": ""})
    warnings = [each for each in done.stdout.splitlines() if each.startswith("warning: ")]
    assert (done.status, len(warnings)) == (0, 2)


def test_check_says_what_is_at_the_endpoint(ollama: ScriptedOllama) -> None:
    done = clawgate("check", env={"CLAWGATE_MODEL_ENDPOINT": f"{ollama.base_url}/v1/"})
    assert done.status == 1
    assert done.stdout.splitlines()[1] == (
        f"not ready: what answers at {ollama.base_url}/v1 is not Ollama; leave out /v1 in model.endpoint"
    )
    ollama.script(status(401), path="/api/version")
    done = clawgate("check", env={"CLAWGATE_MODEL_ENDPOINT": ollama.base_url})
    assert "wants a sign-in" in done.stdout
    assert "ollama serve" not in done.stdout


def test_a_gateway_that_is_its_own_endpoint_asks_itself_once(
    gateway: Callable[..., Gateway], nginx: Callable[..., Nginx]
) -> None:
    port = free_port()
    started = gateway(server={"port": port}, model={"endpoint": f"http://127.0.0.1:{port}"}, stream=PATIENT)
    assert_asks_itself_once(started)
    assert started.get("/api/status").json["upstream"]["problem"] == "clawgate"
    proxy = nginx(started)
    reload(started, r"reloaded: model\.endpoint$", model={"endpoint": f"http://127.0.0.1:{proxy.port}"})
    assert_asks_itself_once(started)


def assert_asks_itself_once(started: Gateway) -> None:
    """Assert that a chat ends at once with the reason, and that the gateway got one more: its own."""
    before = chats_of(started)
    error = end_of_a_chat(started)["error"]
    assert isinstance(error, dict)
    assert error["message"].startswith("what answers at model.endpoint is a clawgate, perhaps this one: name Ollama in")
    wait_for(lambda: chats_of(started) == before + 2, "both are logged")
    assert started.streams == 0


def chats_of(process: ChildProcess) -> int:
    """The chats in an access log."""
    return sum('path="/api/chat"' in line for line in process.lines)
