"""The body of a request to the embedded model: checked as Ollama checks it, and put into the engine's terms.

Pure; routes.py is the only caller. Unknown fields and options are ignored, as in Ollama.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from clawgate.embedded.job import Job, Message
from clawgate.embedded.schema import fault

_WHOLE, _REAL = "integer", "float32"
_OPTIONS = {  # Ollama's option → llama.cpp's parameter and the type as Ollama's error names it
    "temperature": ("temperature", _REAL),
    "top_k": ("top_k", _WHOLE),
    "top_p": ("top_p", _REAL),
    "min_p": ("min_p", _REAL),
    "typical_p": ("typical_p", _REAL),
    "repeat_penalty": ("repeat_penalty", _REAL),
    "presence_penalty": ("presence_penalty", _REAL),
    "frequency_penalty": ("frequency_penalty", _REAL),
    "seed": ("seed", _WHOLE),
    "num_predict": ("", _WHOLE),  # Job.limit
    "num_ctx": ("", _WHOLE),  # Job.context
    "num_keep": ("", _WHOLE),  # Job.keep
    "repeat_last_n": ("", _WHOLE),  # Job.lookback
}
_DEFAULTS: Mapping[str, object] = {
    "temperature": 0.8,
    "top_k": 40,
    "top_p": 0.9,
    "min_p": 0.0,
    "repeat_penalty": 1.1,
}
_DURATION = re.compile(r"[-+]?(0|(\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)(?:(\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))*)")


class Refused(Exception):
    """A request is answered with `status` and `{"error": message}`."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class ChatMessage(msgspec.Struct, frozen=True):
    """One message of a conversation."""

    role: str | None = None
    content: str | None = None
    images: list[str] | None = None


class ChatRequest(msgspec.Struct, frozen=True):
    """The body of `POST /api/chat`. Source: Ollama docs/api.md and api/types.go, ChatRequest."""

    model: str | None = None
    messages: list[ChatMessage] | None = None
    stream: bool | None = None
    options: dict[str, Any] | None = None
    think: bool | str | None = None
    tools: list[Any] | None = None
    format: Any = None
    keep_alive: str | int | float | None = None
    truncate: bool | None = None
    shift: bool | None = None

    @property
    def is_streaming(self) -> bool:
        """True where the answer comes in frames, which is the default."""
        return self.stream is not False

    @property
    def has_images(self) -> bool:
        """True where a message has a picture."""
        return any(message.images for message in self.messages or ())

    @property
    def frees_the_model(self) -> bool:
        """True where the weights are to leave memory when this request is done: `keep_alive` of zero."""
        if isinstance(self.keep_alive, str):
            return not re.search(r"[1-9]", self.keep_alive)
        return self.keep_alive is not None and self.keep_alive == 0


class GenerateRequest(msgspec.Struct, frozen=True):
    """The body of `POST /api/generate`. Source: Ollama docs/api.md and api/types.go, GenerateRequest."""

    model: str | None = None
    prompt: str | None = None
    system: str | None = None
    images: list[str] | None = None
    suffix: str | None = None
    template: str | None = None
    raw: bool | None = None
    context: list[int] | None = None
    stream: bool | None = None
    options: dict[str, Any] | None = None
    think: bool | str | None = None
    format: Any = None
    keep_alive: str | int | float | None = None
    truncate: bool | None = None
    shift: bool | None = None

    def as_chat(self) -> ChatRequest:
        """Return the chat that asks the same; without a prompt it has no messages, and loads or unloads the model.

        Errors: Refused for what only a prompt without the model's own template can have.
        """
        for name in ("raw", "suffix", "template", "context"):
            if self.prompt and getattr(self, name):
                raise Refused(f'"{name}" is not supported by the embedded model: it fills in its own template')
        messages = [ChatMessage("system", self.system)] if self.system else []
        messages.append(ChatMessage("user", self.prompt, self.images))
        return ChatRequest(
            model=self.model,
            messages=messages if self.prompt else None,
            stream=self.stream,
            options=self.options,
            think=self.think,
            format=self.format,
            keep_alive=self.keep_alive,
            truncate=self.truncate,
            shift=self.shift,
        )


class ShowRequest(msgspec.Struct, frozen=True):
    """The body of `POST /api/show`; `name` is the field's older name."""

    model: str | None = None
    name: str | None = None


class EmbedRequest(msgspec.Struct, frozen=True):
    """The body of `POST /api/embed` and `POST /api/embeddings`, which are refused."""

    model: str | None = None
    keep_alive: str | int | float | None = None


Body = TypeVar("Body", ChatRequest, GenerateRequest, ShowRequest, EmbedRequest)


def read_body(body: bytes, kind: type[Body]) -> Body:
    """Decode a request's body. Errors: Refused (400) for what is not JSON or has a wrong type, naming the field."""
    if not body.strip():
        raise Refused("missing request body")
    try:
        request = msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(str(error)) from error
    if not isinstance(request, ShowRequest):
        _check_duration(request.keep_alive)
    return request


def job_of(request: ChatRequest) -> Job:
    """Put a request into the engine's terms; without messages it is one to load the model. Errors: Refused."""
    options = {name: value for name, value in (request.options or {}).items() if value is not None}
    for name, value in options.items():
        _check_option(name, value)
    whole = {name: int(value) for name, value in options.items() if _OPTIONS.get(name, ("", ""))[1] == _WHOLE}
    settings = dict(_DEFAULTS)
    for name, value in options.items():
        parameter, _ = _OPTIONS.get(name, ("", ""))
        if parameter:
            settings[parameter] = whole.get(name, value)
    if whole.get("seed", -1) < 0:
        settings.pop("seed", None)  # Ollama's "a new one each time", which is llama.cpp's default
    settings["stop"] = [text for text in options.get("stop", []) if text]  # an empty one would end every answer
    return Job(
        _messages(request),
        settings,
        whole.get("num_predict"),
        _response_format(request.format),
        context=whole.get("num_ctx"),
        keep=whole.get("num_keep", 4),
        lookback=whole.get("repeat_last_n", 64),
        truncates=request.truncate is not False,
        shifts=request.shift is not False,
    )


def _messages(request: ChatRequest) -> list[Message]:
    """Join neighbours of one role, as Ollama does before it fills in a template."""
    runs: list[tuple[str, list[str]]] = []
    for message in request.messages or []:
        role, content = (message.role or "").lower(), message.content or ""
        if runs and runs[-1][0] == role != "tool":
            runs[-1][1].append(content)
        else:
            runs.append((role, [content]))
    return [{"role": role, "content": "\n\n".join(contents)} for role, contents in runs]


def _response_format(wanted: Any) -> Mapping[str, object] | None:
    if wanted is None or wanted == "":
        return None
    if wanted == "json":
        return {"type": "json_object"}
    if isinstance(wanted, dict):
        if reason := fault(wanted):
            raise Refused(reason)
        return {"type": "json_schema", "json_schema": {"schema": wanted}}
    shown = msgspec.json.encode(wanted).decode()
    raise Refused(f'invalid format: {shown}; expected "json" or a valid JSON Schema object')


def _check_option(name: str, value: object) -> None:
    if name == "stop":
        if not isinstance(value, list):
            raise _bad_option(name, "array")
        if not all(isinstance(item, str) for item in value):
            raise _bad_option(name, "string array")
    elif name in _OPTIONS and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise _bad_option(name, _OPTIONS[name][1])


def _bad_option(name: str, kind: str) -> Refused:
    """Answer 500: Ollama finds these only when it schedules the model."""
    return Refused(f'option "{name}" must be of type {kind}', 500)


def _check_duration(keep_alive: str | int | float | None) -> None:
    if isinstance(keep_alive, str) and not _DURATION.fullmatch(keep_alive):
        raise Refused(f'time: invalid duration "{keep_alive}"')
