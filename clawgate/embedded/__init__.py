"""A small real model behind Ollama's own HTTP API, for machines that have no Ollama yet and for our own tests.

`clawgate embedded` and `clawgate up` call `__main__.main`. The room knows nothing of the rest of clawgate, and
importing it costs nothing: the engine (the extra `clawgate[embedded]`) is imported only when the model is loaded.

    weights.py  where the model is, what to install if it is not   gguf.py    what a model file says about itself
    engine.py   the model: load, answer, stop, unload              stream.py  one answer as it comes
    turns.py    first come, first served
    api.py      what a request says, checked as Ollama does        frames.py  what Ollama answers
    guard.py    whose Host and Origin are let in                   wire.py    HTTP bytes, and whether a client is there
    routes.py   the way from a path to an answer                   server.py  threads and sockets
"""

from __future__ import annotations

from clawgate.embedded.weights import MODEL_NAME, Missing, what_is_missing

__all__ = ["MODEL_NAME", "Missing", "what_is_missing"]
