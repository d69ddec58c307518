"""One answer's life: admitted at the desk, pumped from Ollama to its reader, ended once, settled in its session.

web/ is the only caller; below are ollama/ and sessions/. Nothing here knows HTTP or JSON of the browser's side.
"""
