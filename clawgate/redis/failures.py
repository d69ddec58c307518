"""The ways in which a Redis cannot be used, each as a line with its cure.

No line has a word of the URL's user and password.
"""

from __future__ import annotations

import errno
import re
import socket
import ssl
from collections.abc import Iterator

import redis
from redis.exceptions import NoPermissionError

from clawgate.redis.link import TIMEOUT_S

WRONG_FILE = ("no certificate or crl found", "no start line", "pem lib", "key values mismatch", "bad base64 decode")
START = "start it with `systemctl start redis-server`"
GUIDE = "docs/scaling.md"
ANSWERS: tuple[tuple[str, str], ...] = (
    ("invalid username-password pair", "does not take the user and password of session.redis_url; correct them"),
    ("invalid password", "does not take the password of session.redis_url; correct it"),
    ("without any password configured", "has no password, and session.redis_url has one; leave it out"),
    (
        "Authentication required",
        "wants a password; give it in CLAWGATE_SESSION_REDIS_URL, as redis://user:password@… or redis://:password@…",
    ),
    ("DB index is out of range", "has no database of that number; see `databases` in its redis.conf"),
    ("protected mode", "takes connections from its own machine alone; give it a password (`requirepass`, or an ACL)"),
    ("max number of clients", "has no room for another client; raise `maxclients` in its redis.conf"),
    ("loading the dataset", "is still loading its data; wait until it has"),
    ("MISCONF", "takes no writes, because it cannot save to its disk; its log says why"),
    ("used memory > 'maxmemory'", "is full; raise `maxmemory` in its redis.conf"),
    ("against a read only replica", "is a replica, which takes no writes; name its primary"),
    ("unknown command", "is too old; 7 or later is needed, or Valkey"),
)
"""A part of the server's words, and what is to be said of it. Source: server.c, acl.c and config.c of Redis 7."""


def described(error: Exception, where: str, *, is_tls: bool) -> str:
    """Say in one line what has failed, and the cure."""
    for cause in _causes(error):
        if words := _without_file(cause, where) or _without_connection(cause, where) or _without_tls(cause, where):
            return words
    text = str(error)
    if isinstance(error, redis.TimeoutError | TimeoutError):
        hint = "; a port without TLS wants redis://" if is_tls else ""
        return f"the Redis at {where} does not answer within {TIMEOUT_S:g} s{hint}"
    if isinstance(error, NoPermissionError):
        named = re.search(r"'([\w|-]+)' command", text)
        right = f"+{named[1].lower()}" if named else "its keys"
        return f"the Redis at {where} does not let this user do all that it must; give it {right} in the ACL ({GUIDE})"
    for part, words in ANSWERS:
        if part.lower() in text.lower():
            return f"the Redis at {where} {words}"
    if isinstance(error, redis.ConnectionError) and "closed" in text.lower():
        hint = "a port without TLS wants redis://" if is_tls else "a port with TLS wants rediss://"
        return f"the Redis at {where} closes the connection; {hint}"
    said = "".join(letter if letter.isprintable() else " " for letter in text[:200])
    return f"the Redis at {where} cannot be used: {' '.join(said.split())}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _without_file(cause: BaseException, where: str) -> str | None:
    """Say what is wrong with a file of certificates or of a key; only a socket's path can be missing otherwise."""
    if isinstance(cause, ssl.SSLError):
        said = str(cause).lower().replace("_", " ")
        reason = next((reason for reason in WRONG_FILE if reason in said), None)
        return reason and f"a file that session.redis_url names with ssl_… does not hold what it should ({reason})"
    if where.startswith("unix:") or not isinstance(cause, FileNotFoundError | IsADirectoryError | PermissionError):
        return None
    if isinstance(cause, PermissionError):
        if cause.errno == errno.EPERM:
            return f"this machine does not let us connect to {where}; see `IPAddressAllow` in systemd's unit"
        return "this user may not read a file that session.redis_url names with ssl_…, or a firewall is in the way"
    return "a file that session.redis_url names with ssl_… is not there"


def _without_connection(cause: BaseException, where: str) -> str | None:
    if isinstance(cause, ConnectionRefusedError):
        return f"no Redis answers at {where}: it refused the connection; {START}"
    if isinstance(cause, FileNotFoundError):
        return f"no Redis answers at {where}: there is no such socket; {START}, or see `unixsocket` in its redis.conf"
    if isinstance(cause, PermissionError):
        return f"this user may not connect to {where}; see `unixsocketperm` in its redis.conf"
    if isinstance(cause, socket.gaierror):
        return f"no Redis answers at {where}: the name is not known; correct session.redis_url"
    return None


def _without_tls(cause: BaseException, where: str) -> str | None:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return (
            f"the Redis at {where} has a certificate that is not trusted ({cause.verify_message}); name the file of "
            "its authority: rediss://…?ssl_ca_certs=/etc/clawgate/authority.pem"
        )
    if isinstance(cause, ssl.SSLError):
        reason = (cause.reason or "").lower().replace("_", " ")
        if "certificate required" in reason or "handshake failure" in reason:
            return (
                f"the Redis at {where} wants a certificate of ours ({reason}); name its files: "
                "rediss://…?ssl_certfile=…&ssl_keyfile=…, or set `tls-auth-clients no`"
            )
        return f"the Redis at {where} does not speak TLS as we do ({reason}); a port without TLS wants redis://"
    return None
