"""Ollama's own API on the same relay: programs that are pointed at the gateway in place of Ollama."""
