"""The Flask relay that everyone writes first: one request to Ollama, `iter_lines`, one event a frame.

clawgate is measured against it. It is not slowed down in any way: no logging, the same server with as many threads.
bench/targets.py runs it under gunicorn with naive_conf.py; the environment says where Ollama is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import requests
from flask import Flask, Response, request

OLLAMA = os.environ.get("OLLAMA", "http://127.0.0.1:11434")

app = Flask(__name__)


@app.post("/api/chat")
def chat() -> Response:
    """Relay one answer as server-sent events."""
    payload = {"model": "qwen3:32b", "messages": request.get_json()["messages"], "stream": True}

    def generate() -> Iterator[str]:
        with requests.post(f"{OLLAMA}/api/chat", json=payload, stream=True) as response:
            for line in response.iter_lines():
                if not line:
                    continue
                frame = json.loads(line)
                if frame.get("done"):
                    yield f"data: {json.dumps({'done': True})}\n\n"
                else:
                    yield f"data: {json.dumps({'message': frame['message']['content']})}\n\n"

    return Response(generate(), mimetype="text/event-stream")
