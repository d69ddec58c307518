"""The WSGI entry, `clawgate.wsgi:app`: configuration from CLAWGATE_CONFIG and the environment."""

from __future__ import annotations

import logging.config
import os

from clawgate.app import Gateway, application
from clawgate.config import cautions, load
from clawgate.telemetry.logs import dict_config

_config = load(os.environ.get("CLAWGATE_CONFIG"))
_gateway = Gateway(_config)
logging.config.dictConfig(dict_config(_config.logging, _gateway.log_key))
_log = logging.getLogger("clawgate")
for _caution in cautions(_config, os.environ):
    _log.warning("%s", _caution)

app = application(_gateway)
