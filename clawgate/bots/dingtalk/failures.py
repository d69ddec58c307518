"""The failure of a call to DingTalk, and what can be done about it.

Source: DingTalk, "调用频率限制" and "错误码". A webhook says its errors by `errcode` in a response of status 200, the
Open API by `code` in one of 4xx or 5xx.
"""

from __future__ import annotations

from clawgate.bots.failures import BotError

RATE_CODES = {"-1", "88", "90002", "90018", "90019", "90030", "130101", "410100"}
"""A webhook's codes that pass by themselves: the system is busy, or the bot sends too fast."""
NO_JSON = "no_json"
"""Our own code for a body that is none of DingTalk's: a page of a proxy, or of its protection against floods."""


class ApiError(BotError):
    """DingTalk refused a call, or could not be asked.

    status: of HTTP; 0 where no response came. code: DingTalk's own, "" where there is none.
    is_silent: it was asked, and the answer did not come in time: it may have done what it was asked for.
    """

    def __init__(self, what: str, detail: str, *, status: int = 0, code: str = "", is_silent: bool = False) -> None:
        found = " ".join(each for each in (str(status or ""), code, detail) if each)
        super().__init__(f"DingTalk, {what}: {found}")
        self.status = status
        self.code = code
        self.is_silent = is_silent or status == 504

    @property
    def is_used_up(self) -> bool:
        """True where the organisation has used up its calls of this month."""
        return "apicountlimit" in self.code.lower()

    @property
    def is_too_fast(self) -> bool:
        """True where calls come too fast."""
        return self.status == 429 or self.code in RATE_CODES or "qpslimit" in self.code.lower()

    @property
    def is_token_refused(self) -> bool:
        """True where the access token is not, or no longer, good. Users see status 400 as well as 401."""
        return self.status == 401 or self.code.lower() == "invalidauthentication"

    @property
    def is_denial(self) -> bool:
        """True where DingTalk itself, and no proxy before it, says that id, secret or permission are wrong."""
        is_known = 400 <= self.status < 500 and self.code not in ("", NO_JSON)
        return is_known and not (self.is_used_up or self.is_too_fast)

    @property
    def passes(self) -> bool:
        """True where the same call may succeed in a while."""
        if self.is_used_up:
            return False
        return self.status == 0 or self.status >= 500 or self.is_too_fast or self.code == NO_JSON
