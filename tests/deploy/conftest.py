"""Fixtures of the deployment's tests."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.tools import DEADLINE_S, require

CERTIFICATE = {
    "/etc/ssl/clawgate/fullchain.pem": "fullchain.pem",
    "/etc/ssl/clawgate/privkey.pem": "privkey.pem",
}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A certificate that signs itself, as substitutions for the shipped paths."""
    openssl = require("openssl", "the test makes a certificate")
    folder = tmp_path_factory.mktemp("tls")
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-keyout", str(folder / "privkey.pem"), "-out", str(folder / "fullchain.pem")]
    subprocess.run(command, check=True, capture_output=True, timeout=DEADLINE_S)
    return {shipped: str(folder / name) for shipped, name in CERTIFICATE.items()}
