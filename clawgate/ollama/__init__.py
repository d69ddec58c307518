"""The way to the model: bytes into frames (pure), and the one client that speaks HTTP to Ollama.

Called by relay/, and by web/ for what the status shows. Knows nothing of sessions, runs or readers.
"""
