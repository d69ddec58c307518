"""TLS to an Ollama behind https: the authorities that are trusted, and the reason of a handshake that fails: pure.

A context is made once for a client, and its connections share it: reading the authorities takes 20 ms, which requests
and urllib3 by themselves spend again on each connection.
"""

from __future__ import annotations

import ssl

from clawgate.config import load_authorities
from clawgate.ollama.finding import Finding
from clawgate.trust import trust_the_machine

_UNKNOWN_AUTHORITY = (2, 18, 19, 20, 21)
_NOT_YET_VALID, _EXPIRED = 9, 10
_OTHER_NAME = (62, 64)
"""Source: OpenSSL x509_vfy.h, X509_V_ERR_…"""
_NOT_TLS = (
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "UNKNOWN_PROTOCOL",
    "PACKET_LENGTH_TOO_LONG",
    "RECORD_LAYER_FAILURE",
)


def trusting(ca_file: str | None, verify: bool) -> ssl.SSLContext:
    """Make the context of a client's connections.

    ca_file: the only authorities; None for the system's, or where it has none at all, certifi's. A certificate in it
    need not sign itself, so that one of an intermediate authority or of the server alone is enough, as for curl.
    verify: False takes any certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif ca_file is not None:
        load_authorities(context, ca_file)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    else:
        trust_the_machine(context)
    return context


def refused_handshake(error: ssl.SSLError) -> Finding | None:
    """Tell what is wrong with the TLS at the endpoint; None where the connection was merely cut.

    The error's own fields say it: its text has the host's name in it, which may be anything.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return _refused_certificate(error.verify_code, error.verify_message)
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError) or error.reason == "UNEXPECTED_EOF_WHILE_READING":
        return None
    if error.reason in _NOT_TLS:
        return Finding("not_tls")
    return Finding("tls", (error.reason or "no reason given").replace("_", " ").lower())


def _refused_certificate(code: int, message: str) -> Finding:
    if code in _UNKNOWN_AUTHORITY:
        return Finding("authority", message)
    if code == _EXPIRED:
        return Finding("expired")
    if code == _NOT_YET_VALID:
        return Finding("not_yet_valid")
    if code in _OTHER_NAME:
        return Finding("other_name")
    return Finding("certificate", message)
