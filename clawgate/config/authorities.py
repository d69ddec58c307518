"""The certificate authorities of `model.ca_file`: checked when the configuration is loaded, used for each connection.

`load_authorities` is the one reader of such a file or folder, so that what passed the check is what is trusted.
"""

from __future__ import annotations

import ssl
from pathlib import Path


class UnusableAuthorities(ValueError):
    """There are no authorities to trust; the message follows the path."""


def load_authorities(context: ssl.SSLContext, given: str) -> None:
    """Have a context trust the certificates of a PEM file, or of each PEM file in a folder.

    A folder needs no links named by hashes (`openssl rehash`): its files are read, and other files are passed over.

    Errors: UnusableAuthorities.
    """
    path = Path(given)
    try:
        files = sorted(each for each in path.iterdir() if each.is_file()) if path.is_dir() else [path]
        for file in files:
            _load(context, file, is_alone=files == [path])
    except FileNotFoundError as error:
        raise UnusableAuthorities("which does not exist") from error
    except OSError as error:
        raise UnusableAuthorities(f"which cannot be read: {error.strerror}") from error
    if not context.cert_store_stats()["x509"]:
        raise UnusableAuthorities("which holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")


def _load(context: ssl.SSLContext, file: Path, *, is_alone: bool) -> None:
    try:
        context.load_verify_locations(file)
    except ssl.SSLError as error:  # an OSError too
        if is_alone and b"-----BEGIN CERTIFICATE-----" in file.read_bytes():
            raise UnusableAuthorities("in which a certificate is damaged") from error
