"""Anthropic's API: messages, for the clients that people already have, as newer Ollamas speak it.

Source: Anthropic API reference, https://docs.anthropic.com/en/api/messages; Ollama
docs/api/anthropic-compatibility.mdx.
"""
