"""The WSGI entry, `clawgate.wsgi:app`: configuration from CLAWGATE_CONFIG and the environment."""

from __future__ import annotations

import logging.config
import os

from clawgate.addresses import is_loopback
from clawgate.app import Gateway, application
from clawgate.config import load
from clawgate.telemetry.logs import dict_config

_config = load(os.environ.get("CLAWGATE_CONFIG"))
_gateway = Gateway(_config)
logging.config.dictConfig(dict_config(_config.logging, _gateway.log_key))
_log = logging.getLogger("clawgate")
if "*" in _config.server.cors_allowed_origins:
    _log.warning("server.cors_allowed_origins is *: every page may use this gateway")
if not _config.server.trusted_hosts and not is_loopback(_config.server.host):
    _log.warning(
        "server.host is %s and server.trusted_hosts is empty: a page whose own name is made to point at this machine "
        "may use this gateway (DNS rebinding); name in server.trusted_hosts what it is called by",
        _config.server.host,
    )

app = application(_gateway)
