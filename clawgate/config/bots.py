"""The settings of the section `bots`: those of `clawgate bot`, which the gateway itself does not use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from clawgate.config.checks import credential, gateway_url, ids, open_api, socket_url, template_id, words
from clawgate.config.declaration import setting


@dataclass(frozen=True, kw_only=True)
class BotsConfig:
    """The bots of DingTalk and WeCom. The fixed ones belong to their connections."""

    gateway_url: str | None = setting(
        None,
        "address of the gateway that the bots ask, with its path. Without it that of `server` in the same file; its "
        "token is `server.auth_token`",
        check=gateway_url,
        is_fixed=True,
        secret_mark="@",
    )
    session_by: Literal["user_in_chat", "chat"] = setting(
        "user_in_chat",
        "whose conversation it is. With `user_in_chat` each person in each chat has one of their own, and interrupts "
        "nobody else; with `chat` all of a chat share one",
    )
    language: Literal["zh", "en"] = setting("zh", "language of the bots' own sentences")
    thinking: Literal["hidden", "shown"] = setting("hidden", "whether the model's thinking is shown before its answer")
    stop_words: tuple[str, ...] = setting(
        ("停止", "停", "stop", "取消"),
        "messages that interrupt one's own answer. The whole message must be such a word; case and punctuation at its "
        "end do not count",
        check=words,
    )
    continue_words: tuple[str, ...] = setting(
        ("继续", "continue"), "messages that go on with an answer that was cut off", check=words
    )
    new_words: tuple[str, ...] = setting(
        ("新对话", "/new"), "messages that forget the conversation and begin anew", check=words
    )
    dingtalk_client_id: str | None = setting(
        None, "Client ID (AppKey) of the DingTalk application", check=credential, is_fixed=True
    )
    dingtalk_client_secret: str | None = setting(
        None,
        "its Client Secret (AppSecret). Keep it in `CLAWGATE_BOTS_DINGTALK_CLIENT_SECRET`",
        check=credential,
        is_fixed=True,
        is_secret=True,
    )
    dingtalk_endpoint: str = setting(
        "https://api.dingtalk.com", "base URL of DingTalk's Open API", check=open_api, is_fixed=True
    )
    dingtalk_reply: Literal["markdown", "card"] = setting(
        "markdown",
        "form of an answer in DingTalk. With `markdown` it is one message at its end, which the free edition's monthly "
        "quota allows; with `card` it streams into a card of your own template, with 2 to 9 calls of the API for each",
    )
    dingtalk_card_template_id: str | None = setting(
        None, "ID of the card's template, like `0a1b….schema`; `dingtalk_reply: card` needs it", check=template_id
    )
    dingtalk_card_key: str = setting("content", "name of the template's Markdown variable", min_length=1)
    dingtalk_max_updates: int = setting(8, "updates of one card, its last one among them", ge=1, le=100)
    dingtalk_allowed_users: tuple[str, ...] = setting(
        (),
        "people who may use the DingTalk bot anywhere, by their staff IDs (userid). With this or "
        "`dingtalk_allowed_chats`, nobody else is answered; the bot's log names the IDs of those whom it refuses",
        check=ids,
    )
    dingtalk_allowed_chats: tuple[str, ...] = setting(
        (), "groups in which everybody may use the DingTalk bot, by their conversation IDs", check=ids
    )
    wecom_bot_id: str | None = setting(None, "Bot ID of the WeCom robot", check=credential, is_fixed=True)
    wecom_secret: str | None = setting(
        None,
        "its Secret for the long connection. Keep it in `CLAWGATE_BOTS_WECOM_SECRET`",
        check=credential,
        is_fixed=True,
        is_secret=True,
    )
    wecom_endpoint: str = setting(
        "wss://openws.work.weixin.qq.com", "address of WeCom's long connection", check=socket_url, is_fixed=True
    )
    wecom_update_seconds: float = setting(
        2.1, "least seconds between two updates in one chat; WeCom allows 30 messages a minute", ge=0.5, le=60
    )
    wecom_allowed_users: tuple[str, ...] = setting(
        (),
        "people who may use the WeCom robot anywhere, by their user IDs. With this or `wecom_allowed_chats`, nobody "
        "else is answered; the bot's log names the IDs of those whom it refuses",
        check=ids,
    )
    wecom_allowed_chats: tuple[str, ...] = setting(
        (), "groups in which everybody may use the WeCom robot, by their chat IDs", check=ids
    )
