"""A bot put together: its wire, its way back, its conversations, out of the settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple

from clawgate.bots.connection import Wire
from clawgate.bots.conversations import Conversations
from clawgate.bots.dingtalk.api import Api
from clawgate.bots.dingtalk.reply import DingTalk
from clawgate.bots.dingtalk.stream import Stream
from clawgate.bots.message import Messenger
from clawgate.bots.talk import Identity, rules_of
from clawgate.bots.wecom.outbox import Outbox
from clawgate.bots.wecom.pacing import Pacing
from clawgate.bots.wecom.reply import WecomMessenger
from clawgate.bots.wecom.wire import WecomWire
from clawgate.client import Gateway
from clawgate.errors import ConfigError

if TYPE_CHECKING:
    from clawgate.config.bots import BotsConfig


class GatewayAddress(NamedTuple):
    """The gateway's address and its token."""

    url: str
    token: str | None = None

    def gateway(self) -> Gateway:
        """Return the gateway there.

        Errors: ConfigError.
        """
        try:
            return Gateway(self.url, self.token)
        except ValueError as error:
            raise ConfigError(f"bots.gateway_url: {error}") from error


class Kind(NamedTuple):
    """A messenger: its name for people, and the settings that name a bot there."""

    title: str
    id_name: str
    id_setting: str
    secret_setting: str


class Account(NamedTuple):
    """The id and the secret of a bot."""

    id: str
    secret: str


MESSENGERS = {
    "dingtalk": Kind("DingTalk", "Client ID", "dingtalk_client_id", "dingtalk_client_secret"),
    "wecom": Kind("WeCom", "Bot ID", "wecom_bot_id", "wecom_secret"),
}


def is_named(name: str, config: BotsConfig) -> bool:
    """Tell whether the configuration has anything of a messenger's bot."""
    kind = MESSENGERS[name]
    return getattr(config, kind.id_setting) is not None or getattr(config, kind.secret_setting) is not None


def bot_of(name: str, config: BotsConfig, place: GatewayAddress) -> Bot:
    """Put a bot together; nothing is connected yet.

    Errors: ConfigError where its id or its secret is missing, or the gateway's address is none.
    """
    kind = MESSENGERS[name]
    account = Account(_given(kind, kind.id_setting, config), _given(kind, kind.secret_setting, config))
    return _BOTS[name](account, config, place.gateway())


def _given(kind: Kind, setting: str, config: BotsConfig) -> str:
    given = getattr(config, setting)
    if given is None:
        raise ConfigError(f"bots.{setting}: expected that of the bot in {kind.title}'s console, got none")
    return str(given)


class Bot:
    """A messenger's bot with its parts.

    wire: for the connection. conversations: those that its messages go to.
    """

    name: Literal["dingtalk", "wecom"]
    wire: Wire

    def __init__(self, account: Account, config: BotsConfig, gateway: Gateway, messenger: Messenger) -> None:
        self.kind = MESSENGERS[self.name]
        self.account = account
        self._config = config
        identity = Identity(self.name, account.id, account.secret)
        self.conversations = Conversations(messenger, gateway, rules_of(config, self.name), identity)

    def adopt(self, config: BotsConfig) -> Iterator[str]:
        """Take over what may change while it runs; yield a line for what changed, and one for what needs a restart."""
        changed = [
            field
            for field in dataclasses.fields(config)
            if getattr(config, field.name) != getattr(self._config, field.name)
        ]
        fixed = {field.name: getattr(self._config, field.name) for field in changed if field.metadata["is_fixed"]}
        self._config = dataclasses.replace(config, **fixed)
        self.conversations.rules = rules_of(self._config, self.name)
        self._renew(self._config)
        names = [f"bots.{field.name}" for field in changed if field.name not in fixed]
        yield f"configuration read again: {', '.join(names) or 'nothing changed'}"
        if fixed:
            yield f"these need a restart of the bot: {', '.join(f'bots.{name}' for name in fixed)}"

    def leave(self) -> None:
        """Note that the connection is not made any more."""

    def _renew(self, config: BotsConfig) -> None:
        """Take over what is the messenger's own."""


class _DingTalkBot(Bot):
    name = "dingtalk"

    def __init__(self, account: Account, config: BotsConfig, gateway: Gateway) -> None:
        api = Api(config.dingtalk_endpoint, account.id, account.secret)
        self._messenger = DingTalk(api, config)
        super().__init__(account, config, gateway, self._messenger)
        self.wire = Stream(api, self.conversations.take, self.conversations.is_command)

    def _renew(self, config: BotsConfig) -> None:
        self._messenger.config = config


class _WecomBot(Bot):
    name = "wecom"

    def __init__(self, account: Account, config: BotsConfig, gateway: Gateway) -> None:
        self._outbox = Outbox()
        self._pacing = Pacing(config.wecom_update_seconds)
        messenger = WecomMessenger(self._outbox, self._pacing, lambda: self.conversations.rules.words)
        super().__init__(account, config, gateway, messenger)
        self.wire = WecomWire(
            config.wecom_endpoint,
            account.id,
            account.secret,
            self._outbox,
            self.conversations.take,
            self.conversations.greeting_of,
            self.conversations.is_command,
        )

    def leave(self) -> None:
        self._outbox.close()

    def _renew(self, config: BotsConfig) -> None:
        self._pacing.update_s = config.wecom_update_seconds


_BOTS: dict[str, Callable[[Account, BotsConfig, Gateway], Bot]] = {"dingtalk": _DingTalkBot, "wecom": _WecomBot}
