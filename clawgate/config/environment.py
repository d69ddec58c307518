"""The environment's variables as shells, containers and Kubernetes make them, before they are read as settings.

Kubernetes gives every container addresses of the services in its namespace, in variables with the services' names: one
called `clawgate-server` makes CLAWGATE_SERVER_PORT=tcp://10.0.0.1:18789.
Source: Kubernetes, "Service", Environment variables; `docker run --help`, --env-file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from clawgate.config.declaration import ENVIRONMENT_PREFIX
from clawgate.errors import ConfigError

_OF_SERVICES = re.compile(
    rf"{ENVIRONMENT_PREFIX}(\w+_)?"
    r"(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)",
    re.ASCII,
)
_ADDRESS = re.compile(r"(tcp|udp|sctp)://\S+")
_QUOTED = re.compile(r"""(["']).*\1""", re.DOTALL)
_BRACKETED = re.compile(r"""\[\s*["'].*\]""", re.DOTALL)


def own_variables(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the variables that can be meant as settings, each with its text, without the blanks around it."""
    for variable, text in environment.items():
        if variable.startswith(ENVIRONMENT_PREFIX) and not _is_of_a_service(variable, text):
            yield variable, text.strip()


def quotes_stay(where: str) -> ConfigError:
    """Return the error for a value whose quotes nobody takes off."""
    return ConfigError(f"{where}: the quotes around the value are a part of it here; leave them out")


def check_quotes(variable: str, value: str) -> None:
    """Refuse quotes around a setting's text, which a shell takes off and `docker --env-file` passes on.

    Errors: ConfigError, for a list as YAML has it, too.
    """
    if _QUOTED.fullmatch(value):
        raise quotes_stay(variable)
    if _BRACKETED.fullmatch(value):
        raise ConfigError(f"{variable}: a list is written `a,b` in a variable, without brackets and quotes")


def _is_of_a_service(variable: str, text: str) -> bool:
    is_address = variable.endswith("_PORT") and _ADDRESS.fullmatch(text.strip()) is not None
    return is_address or _OF_SERVICES.fullmatch(variable) is not None
