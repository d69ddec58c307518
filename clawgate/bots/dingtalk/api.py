"""DingTalk's HTTP API: the only user of requests here.

Nothing is kept between calls but the access token, so that any thread may call. No redirect is followed, and no
failure names a webhook, a token or the secret. Calls wait where they would come too fast.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import requests

from clawgate.bots.dingtalk.failures import NO_JSON, ApiError
from clawgate.bots.dingtalk.pacing import Rate
from clawgate.bots.dingtalk.token import Token
from clawgate.client.endpoint import BROKEN, SILENT, NoSignIn, is_loopback, proxies_for, read
from clawgate.client.failures import NotAGateway, cause_of

BOT_MESSAGES = "/v1.0/im/bot/messages/get"
"""The topic of the messages to a bot, the only one that is subscribed to: events and card callbacks cost quota."""
TIMES_S = (5.0, 15.0)
"""To connect, and the longest silence. A webhook that is given up too early sends its message all the same."""
MAX_ANSWER_BYTES = 64 << 10
MAX_DETAIL = 200
MAX_LIFE_S = 86_400
"""A token is kept no longer; DingTalk gives it 7,200 s."""


class Opening(NamedTuple):
    """The address of a connection, and the ticket that opens it once."""

    endpoint: str
    ticket: str


class Api:
    """The calls of one application.

    endpoint: base URL of the Open API.
    pause, clock: for tests.
    Errors: all calls: ApiError.
    """

    def __init__(
        self,
        endpoint: str,
        client_id: str,
        client_secret: str,
        *,
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.client_id = client_id
        """The application's id, which is the code of its bot, too."""
        self.is_local = urlsplit(endpoint).scheme == "http"
        """True where the API is on this machine, unencrypted: then its other addresses may be so, too."""
        self._endpoint = endpoint
        self._secret = client_secret
        self._pause = pause
        self._clock = clock
        self._rate = Rate()
        self._token = Token(self._fetch_token, clock)
        # It logs URLs, and so the secrets in webhooks: at debug all of them, in a warning that of a malformed response.
        logging.getLogger("urllib3").setLevel(logging.ERROR)

    def open_connection(self, user_agent: str) -> Opening:
        """Register a connection for the bot's messages, and return where to make it."""
        given = self._post(
            "/v1.0/gateway/connections/open",
            {
                "clientId": self.client_id,
                "clientSecret": self._secret,
                "subscriptions": [{"type": "CALLBACK", "topic": BOT_MESSAGES}],
                "ua": user_agent,
            },
        )
        endpoint, ticket = given.get("endpoint"), given.get("ticket")
        if not (isinstance(endpoint, str) and isinstance(ticket, str) and _is_plain(ticket)) or not self.may_use(
            endpoint, "wss"
        ):
            raise ApiError("connections/open", "the response names no endpoint and ticket", status=200, code=NO_JSON)
        return Opening(endpoint, ticket)

    def may_use(self, url: str, scheme: str) -> bool:
        """Tell whether an address that DingTalk gave is encrypted, or as local as the API itself."""
        if not _is_plain(url):
            return False
        try:
            parts = urlsplit(url)
            is_plain = parts.scheme == {"wss": "ws", "https": "http"}[scheme]
            return (
                bool(parts.hostname)
                and parts.port != 0
                and (parts.scheme == scheme or (is_plain and self.is_local and is_loopback(parts.hostname or "")))
            )
        except ValueError:
            return False

    def post_webhook(self, url: str, body: Mapping[str, Any]) -> None:
        """Send a message by the webhook of a chat."""
        given = self._request("POST", url, body, {}, "sessionWebhook")
        if given.get("errcode") != 0:
            raise ApiError("sessionWebhook", self._clean(given.get("errmsg")), status=200, code=_code(given, "errcode"))

    def send_to_group(self, conversation_id: str, title: str, text: str) -> None:
        """Send a Markdown message to a group, without a webhook."""
        self._call(
            "POST",
            "/v1.0/robot/groupMessages/send",
            self._message(title, text, {"openConversationId": conversation_id}),
        )

    def send_to_person(self, staff_id: str, title: str, text: str) -> None:
        """Send a Markdown message to one person, without a webhook."""
        path = "/v1.0/robot/oToMessages/batchSend"
        given = self._call("POST", path, self._message(title, text, {"userIds": [staff_id]}))
        if given.get("flowControlledStaffIdList"):
            raise ApiError(path, "the person gets too many messages", status=429)
        if given.get("invalidStaffIdList"):
            raise ApiError(path, "the person's staff ID is invalid", status=200, code="invalidStaffIdList")

    def create_card(self, body: Mapping[str, Any]) -> None:
        """Make a card, and deliver it into its chat."""
        path = "/v1.0/card/instances/createAndDeliver"
        result = self._succeeded(path, self._call("POST", path, body)).get("result")
        delivered = result.get("deliverResults") if isinstance(result, dict) else None
        for each in delivered if isinstance(delivered, list) else []:
            if isinstance(each, dict) and each.get("success") is False:
                raise ApiError(path, self._clean(each.get("errorMsg")), status=200, code="notDelivered")

    def update_card(self, body: Mapping[str, Any]) -> None:
        """Set the text of a card."""
        path = "/v1.0/card/streaming"
        self._succeeded(path, self._call("PUT", path, body))

    def _succeeded(self, path: str, given: dict[str, Any]) -> dict[str, Any]:
        if given.get("success") is False:
            raise ApiError(path, self._clean(given.get("message")), status=200, code=_code(given, "code") or "failed")
        return given

    def _message(self, title: str, text: str, to: Mapping[str, Any]) -> dict[str, Any]:
        param = json.dumps({"title": title, "text": text}, ensure_ascii=False, separators=(",", ":"))
        return {"robotCode": self.client_id, "msgKey": "sampleMarkdown", "msgParam": param, **to}

    def _call(self, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Call with the access token, and once more with a new one where that is refused."""
        token = self._token.get()
        try:
            return self._request(method, self._endpoint + path, body, {_TOKEN: token}, path)
        except ApiError as error:
            if not error.is_token_refused:
                raise
        return self._request(method, self._endpoint + path, body, {_TOKEN: self._token.get(instead_of=token)}, path)

    def _fetch_token(self) -> tuple[str, float]:
        path = "/v1.0/oauth2/accessToken"
        given = self._post(path, {"appKey": self.client_id, "appSecret": self._secret})
        token, life_s = given.get("accessToken"), given.get("expireIn")
        if not isinstance(token, str) or not _is_plain(token):
            raise ApiError(path, "the response has no token", status=200, code=NO_JSON)
        return token, float(min(max(life_s, 0), MAX_LIFE_S)) if isinstance(life_s, int) else 0.0

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._request("POST", self._endpoint + path, body, {}, path)

    def _request(
        self, method: str, url: str, body: Mapping[str, Any], headers: Mapping[str, str], what: str
    ) -> dict[str, Any]:
        wait_s = self._rate.wait_s(self._clock())
        if wait_s > 0:
            self._pause(wait_s)
        try:
            with (
                requests.Session() as session,
                session.request(
                    method,
                    url,
                    data=encode(body),
                    headers={"Content-Type": "application/json", "Accept": "application/json", **headers},
                    auth=NoSignIn(),
                    proxies=proxies_for(urlsplit(url).hostname or ""),
                    timeout=TIMES_S,
                    allow_redirects=False,
                    stream=True,
                ) as response,
            ):
                status, data = response.status_code, read(response, MAX_ANSWER_BYTES, is_cut=True)
        except (*BROKEN, NotAGateway, ValueError) as error:  # ValueError: a URL that requests takes for none
            raise ApiError(what, cause_of(error), is_silent=isinstance(error, SILENT)) from error
        return self._judged(status, data, what)

    def _judged(self, status: int, data: bytes, what: str) -> dict[str, Any]:
        """Return the object of a response; raise the error that it is."""
        try:
            given = json.loads(data)
        except (ValueError, RecursionError):
            given = None
        if status == 200 and isinstance(given, dict) and "punish" not in given:
            return given
        known = given if isinstance(given, dict) else {}
        code = _code(known, "code") or (NO_JSON if status == 200 else "")
        raise ApiError(what, self._clean(known.get("message")), status=status, code=code)

    def _clean(self, detail: object) -> str:
        """Return DingTalk's own words as one short line without the secret."""
        line = " ".join(detail.replace(self._secret, "…").split()) if isinstance(detail, str) else ""
        return "".join(filter(str.isprintable, line))[:MAX_DETAIL]


def encode(body: Mapping[str, Any]) -> bytes:
    """Encode a body as DingTalk counts it: UTF-8 that is not escaped. A lone surrogate becomes `?`."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def _is_plain(given: str) -> bool:
    """Tell whether a text can stand in a URL or a header, and in one line of a log."""
    return bool(given) and given.isascii() and given.isprintable() and " " not in given


_TOKEN = "x-acs-dingtalk-access-token"


def _code(given: Mapping[str, Any], name: str) -> str:
    code = given.get(name)
    return str(code)[:MAX_DETAIL] if isinstance(code, str | int) else ""
