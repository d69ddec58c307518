"""A small real model behind Ollama's own HTTP API, for machines that have no Ollama yet and for our own tests.

`clawgate embedded` and `clawgate up` call `__main__.main`. The room knows nothing of the rest of clawgate, and
importing it costs nothing: the engine (the extra `clawgate[embedded]`) is imported only when the model is loaded.

    models.py   the models that packages carry, their sums      packages.py  a package's file, found, not imported
    assembly.py weights in parts become one exact file          weights.py   the model's file, or what to install
    gguf.py     the head of a model file                        runtime.py   llama.cpp in this process
    engine.py   the model: load, answer, stop, unload           stream.py    one answer as it comes
    window.py   a conversation cut to the context               turns.py     first come, first served
    job.py      one request to the model, and its end           api.py       a request's body, checked as Ollama does
    schema.py   the bounds of a `format`                    pattern.py   and those of a pattern in it
    frames.py   Ollama's frames, lists and errors               guard.py     the Hosts and Origins that are let in
    wire.py     HTTP bytes, and whether a client is there       routes.py    the way from a path to an answer
    server.py   threads and sockets
"""
