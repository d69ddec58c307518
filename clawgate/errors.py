"""Every error that clawgate answers with, as one tree.

ClawgateError                     code · HTTP status · a message that names the field and the cure
├── ConfigError                   the file or the environment is wrong: one line on stderr, exit 2
├── RequestError                  the client can correct it
│   ├── BadRequest                400
│   ├── UntrustedHost             400
│   ├── Unauthorized              401
│   ├── Forbidden                 403
│   ├── ModelNotAllowed           403
│   ├── NotFound                  404
│   │   └── UnknownSession        404
│   ├── MethodNotAllowed          405
│   ├── BusySession               409
│   ├── NothingToContinue         409
│   ├── CannotContinue            409
│   ├── TooLarge                  413
│   ├── UnsupportedMediaType      415
│   └── UpstreamRefused           400  Ollama refused the request for good: its own words
├── Busy                          503, Retry-After: streams, places to render or file descriptors are taken
├── SessionStoreUnavailable       503, Retry-After: the sessions are in Redis, which cannot be asked
├── ShuttingDown                  503
├── UpstreamFailure               Ollama failed; a retry would start a second run
│   ├── UpstreamUnreachable       502  refused, dropped, away for too long
│   ├── UpstreamTimeout           504  no first frame
│   ├── UpstreamStalled           504  silence after the first frame
│   ├── UpstreamBadFrames         502  frames that do not parse
│   ├── UpstreamError             502  Ollama's own words
│   └── ModelNotFound             502
└── InternalError                 500  our own fault; the traceback is in the log, never in the answer

An interrupt is an outcome, not an error: it is not here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self


class ClawgateError(Exception):
    """The root of the tree: the answer to a failed request is made of one."""

    code = "internal"
    status = 500
    retry_after_s: int | None = None
    words = ""
    """Ollama's own words, where the message quotes them and says more beside."""
    upstream_status: int | None = None
    upstream_words = ""
    """What Ollama itself answered, where it did: for its own clients."""

    def said_by_ollama(self, words: str, status: int | None = None) -> Self:
        """Keep what Ollama itself answered."""
        self.upstream_words, self.upstream_status = words, status
        return self

    @property
    def message(self) -> str:
        """The text for people: it names the field and the cure."""
        return str(self)

    def anew(self) -> ClawgateError:
        """Return the same error to raise: one that is kept, and raised itself, keeps every frame that it passes."""
        error = type(self).__new__(type(self), *self.args)
        error.__dict__.update(self.__dict__)
        return error


class ConfigError(ClawgateError):
    """The configuration is wrong; the message begins with the place."""


class RequestError(ClawgateError):
    """The request is wrong, and the client can correct it."""

    code = "bad_request"
    status = 400


class BadRequest(RequestError):
    """A body or a field is not of the expected kind."""


class UntrustedHost(RequestError):
    """The Host header is not a name of this gateway."""

    code = "untrusted_host"


class Unauthorized(RequestError):
    """The token is missing or wrong."""

    code = "unauthorized"
    status = 401


class Forbidden(RequestError):
    """The request comes from another site's page, and server.cors_allowed_origins lacks its origin."""

    code = "forbidden"
    status = 403


class ModelNotAllowed(RequestError):
    """The request names a model that the operator did not allow."""

    code = "model_not_allowed"
    status = 403


class NotFound(RequestError):
    """There is nothing at this address."""

    code = "not_found"
    status = 404


class UnknownSession(NotFound):
    """The session never existed, was deleted, or was forgotten."""

    code = "unknown_session"


class MethodNotAllowed(RequestError):
    """The address exists, the method does not."""

    code = "method_not_allowed"
    status = 405


class BusySession(RequestError):
    """An answer of this session is in flight and the request asked not to interrupt it."""

    code = "busy_session"
    status = 409


class NothingToContinue(RequestError):
    """The session's last message is not an unfinished answer."""

    code = "nothing_to_continue"
    status = 409


class CannotContinue(RequestError):
    """The model's template closes each of the assistant's turns, so that a partial answer cannot be gone on with."""

    code = "cannot_continue"
    status = 409

    def __init__(self) -> None:
        super().__init__(
            "continue: expected a model that can go on with a partial answer, got one whose template closes it; "
            "ask anew with `message`"
        )


class TooLarge(RequestError):
    """The body is over its limit, or its session would be."""

    code = "too_large"
    status = 413


class UnsupportedMediaType(RequestError):
    """The body is not application/json."""

    code = "unsupported_media_type"
    status = 415


class UpstreamRefused(RequestError):
    """Ollama refused the request for good.

    is_of_question: the question itself was refused. It is marked in its session, and left out of later prompts.
    """

    code = "upstream_refused"

    def __init__(self, words: str, is_of_question: bool = False) -> None:
        what = "this message" if is_of_question else "this request"
        then = "; it is left out of what follows, and `continue` sends it again" if is_of_question else ""
        super().__init__(f"Ollama refused {what}: {words}{then}")
        self.words = words
        self.is_of_question = is_of_question


class Busy(ClawgateError):
    """Every stream, every place to render, every place to hash a session, or every file descriptor is taken."""

    code = "busy"
    status = 503
    retry_after_s = 1


class SessionStoreUnavailable(ClawgateError):
    """The machine that keeps the sessions cannot be asked."""

    code = "session_store_unavailable"
    status = 503
    retry_after_s = 1


class ShuttingDown(ClawgateError):
    """The process takes no new chats."""

    code = "shutting_down"
    status = 503


class UpstreamFailure(ClawgateError):
    """Ollama failed during a run; clients must not retry it by themselves."""

    code = "upstream_error"
    status = 502


class UpstreamUnreachable(UpstreamFailure):
    """Ollama refuses, drops the connection, or stays away for longer than stream.retry_seconds."""

    code = "upstream_unreachable"


class UpstreamTimeout(UpstreamFailure):
    """No first frame within stream.first_frame_seconds."""

    code = "upstream_timeout"
    status = 504


class UpstreamStalled(UpstreamFailure):
    """Silence for stream.stall_seconds after the first frame."""

    code = "upstream_stalled"
    status = 504


class UpstreamBadFrames(UpstreamFailure):
    """stream.max_bad_frames frames in a row that do not parse."""

    code = "upstream_bad_frames"


class UpstreamError(UpstreamFailure):
    """Ollama answered with an error; the message is Ollama's own."""


class ModelNotFound(UpstreamFailure):
    """Ollama does not have the model."""

    code = "model_not_found"


class InternalError(ClawgateError):
    """Our own fault; only the log has the details."""

    def __init__(self) -> None:
        super().__init__("something went wrong in the gateway; its log says what")
