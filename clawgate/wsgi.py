"""The WSGI entry, `clawgate.wsgi:app`: configuration from CLAWGATE_CONFIG and the environment."""

from __future__ import annotations

import logging.config
import os

from clawgate.app import create_app
from clawgate.config import load
from clawgate.logs import dict_config

_config = load(os.environ.get("CLAWGATE_CONFIG"))
logging.config.dictConfig(dict_config(_config.logging))
if "*" in _config.server.cors_allowed_origins:
    logging.getLogger("clawgate").warning("server.cors_allowed_origins is *: every page may use this gateway")

app = create_app(_config)
