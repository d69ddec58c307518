"""The authorities that a TLS connection trusts where nobody names others: the machine's, or else those of certifi.

The client of an Ollama behind https takes them, and the connections of the bots.
"""

from __future__ import annotations

import os
import ssl

from requests.adapters import DEFAULT_CA_BUNDLE_PATH

SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""A system's authorities, on Debian, Fedora, SUSE and others, for an OpenSSL that looks elsewhere: the binary's knows
the place on the machine that it was built on. Source: Go, crypto/x509/root_linux.go."""


def trust_the_machine(context: ssl.SSLContext) -> None:
    """Have a context trust the system's authorities, or where it has none at all, certifi's."""
    if _are_found():
        context.load_default_certs()
    else:
        context.load_verify_locations(next(filter(os.path.isfile, SYSTEM_BUNDLES), DEFAULT_CA_BUNDLE_PATH))


def _are_found() -> bool:
    paths = ssl.get_default_verify_paths()
    return paths.cafile is not None or (paths.capath is not None and any(os.scandir(paths.capath)))
