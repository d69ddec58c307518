"""The scripted Ollama's answers where nothing is scripted: those of a real Ollama with the models that it is given.

Source: Ollama server/routes.go and docs/api.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlsplit

from tests.support.answer import CREATED_AT
from tests.support.pictures import go_base64
from tests.support.record import Request
from tests.support.script import Act, Frames, Step, status

VERSION = "0.12.6"
_DETAILS = {"format": "gguf", "family": "qwen3", "parameter_size": "32.8B", "quantization_level": "Q4_K_M"}
_MODEL_ROUTES = {"/api/show", "/api/generate", "/api/embed", "/api/embeddings"}
_OWN_HOSTS = {None, "127.0.0.1", "localhost", "::1"}


def is_foreign(request: Request) -> bool:
    """Tell whether a loopback Ollama refuses the request: a foreign Host, or any Origin (a gateway sends none)."""
    host = urlsplit("//" + request.headers.get("Host", "")).hostname
    return host not in _OWN_HOSTS or "Origin" in request.headers


def model_not_found(name: str) -> Act:
    """Answer 404 as for a model that was not pulled."""
    return status(404, {"error": f"model '{name}' not found"})


def has_bad_image(request: Request) -> bool:
    """Tell whether Ollama refuses a chat for an image that is no base64, before it looks at anything else."""
    try:
        for message in request.json.get("messages") or ():
            for image in message.get("images") or ():
                go_base64(image)
    except ValueError:
        return True
    return False


def unscripted(
    request: Request,
    models: Iterable[str],
    loaded: Iterable[str],
    more: Mapping[str, Any] | None = None,
    *,
    is_loading: bool = False,
) -> Step:
    """Return the answer to anything but a chat; more: what /api/ps says of each loaded model beside the rest."""
    route = ("GET" if request.method == "HEAD" else request.method, request.path)
    if route == ("GET", "/"):
        return status(200, b"Ollama is running")
    if route == ("GET", "/api/version"):
        return status(200, {"version": VERSION})
    if route == ("GET", "/api/tags"):
        return status(200, {"models": [_listed(name) for name in models]})
    if route == ("GET", "/api/ps"):
        expires_at = datetime.now(timezone.utc).isoformat() if is_loading else CREATED_AT
        rest = {"expires_at": expires_at, "size_vram": 0, **(more or {})}
        return status(200, {"models": [{**_listed(name), **rest} for name in loaded]})
    if route[0] == "POST" and route[1] in _MODEL_ROUTES:
        return _of_model(request, models)
    return status(404, b"404 page not found")


def loaded_or_unloaded(request: Request) -> Step:
    """Answer a request without messages or prompt, which loads the model, or unloads it with `keep_alive: 0`."""
    reason = "unload" if is_unload(request) else "load"
    said = {"message": {"role": "assistant", "content": ""}} if request.path == "/api/chat" else {"response": ""}
    return status(200, {**_answer_of(request), **said, "done": True, "done_reason": reason})


def is_unload(request: Request) -> bool:
    """Tell whether the request asks to unload its model."""
    return isinstance(request.json, dict) and request.json.get("keep_alive") in (0, "0", "0s")


def _of_model(request: Request, models: Iterable[str]) -> Step:
    body: dict[str, Any] = request.json if isinstance(request.json, dict) else {}
    name = str(body.get("model", ""))
    if name not in models:
        return model_not_found(name)
    if request.path == "/api/show":
        return status(200, {"details": _DETAILS, "model_info": {}, "capabilities": ["completion", "tools", "thinking"]})
    if request.path == "/api/embed":
        return status(200, {"model": name, "embeddings": [[0.1, 0.2, 0.3]], "prompt_eval_count": 1})
    if request.path == "/api/embeddings":
        return status(200, {"embedding": [0.1, 0.2, 0.3]})
    if not body.get("prompt"):
        return loaded_or_unloaded(request)
    said = {**_answer_of(request), "response": "ok", "done": True, "done_reason": "stop"}
    return status(200, said) if body.get("stream") is False else Frames((said,), ends=True)


def _answer_of(request: Request) -> dict[str, Any]:
    return {"model": request.json["model"], "created_at": CREATED_AT}


def _listed(name: str) -> dict[str, Any]:
    digest = hashlib.sha256(name.encode()).hexdigest()
    named = {"name": name, "model": name, "modified_at": CREATED_AT, "size": 20_000_000_000, "digest": digest}
    return {**named, "details": _DETAILS}
