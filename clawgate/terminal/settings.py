"""The options of `clawgate chat`, and what they come to."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from clawgate.errors import ConfigError

SESSION_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")

SIGN_IN = re.compile(r"(?<=://)[^/]*@")
"""The name and the password in an address, which are not shown."""


class Settings(NamedTuple):
    """The wishes of a run of the client.

    wishes: fields of every question, like `model` and `think`.
    again: the words of the command that goes on with a conversation, but for its session.
    """

    url: str
    token: str | None = None
    session_id: str | None = None
    system: str | None = None
    wishes: Mapping[str, Any] = MappingProxyType({})
    is_plain: bool = False
    shows_thinking: bool = False
    again: tuple[str, ...] = ("clawgate", "chat")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that are this command's alone."""
    parser.add_argument(
        "--url", type=_given, help="the gateway's address, with its path (default: that of the configuration)"
    )
    parser.add_argument("--token", type=_given, help="the gateway's token; CLAWGATE_TOKEN keeps it out of `ps`")
    parser.add_argument("--session", type=_session_id, metavar="ID", help="go on with this conversation")
    parser.add_argument("--model", type=_given, metavar="NAME", help="the model that answers, one of those allowed")
    parser.add_argument(
        "--think", action=argparse.BooleanOptionalAction, help="have the model think first, or not (default: its own)"
    )
    parser.add_argument("--show-thinking", action="store_true", help="keep all of the model's thinking, dim")
    parser.add_argument("--system", type=_given, metavar="TEXT", help="the system message of a new conversation")
    parser.add_argument("--plain", action="store_true", help="plain text, as it comes: no Markdown, no colours")


def settings_of(options: argparse.Namespace, url: str, token: str | None) -> Settings:
    """Return what the options come to.

    url, token: the gateway's, of the options or of the configuration.

    Errors: ConfigError for options that contradict each other.
    """
    if options.system is not None and options.session is not None:
        raise ConfigError("--system: expected a new conversation, got --session; a session keeps the one it began with")
    wishes = {name: value for name, value in (("model", options.model), ("think", options.think)) if value is not None}
    again = ["clawgate", "chat"]
    for name in ("config", "url", "model"):
        value = getattr(options, name, None)
        again += [f"--{name}", SIGN_IN.sub("", value)] if value is not None else []
    return Settings(
        url=url,
        token=token,
        session_id=options.session,
        system=options.system,
        wishes=wishes,
        is_plain=options.plain,
        shows_thinking=options.show_thinking,
        again=tuple(again),
    )


def _given(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError('expected a value, got ""')
    return text


def _session_id(text: str) -> str:
    if not SESSION_ID.fullmatch(text):
        raise argparse.ArgumentTypeError(f"expected 1 to 128 letters, digits, _ or -, got {text!a}")
    return text
