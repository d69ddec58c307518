"""A question with the message that it quotes. Pure."""

from __future__ import annotations

MAX_QUOTE = 2000
"""The characters of a quoted message that go with a question; a longer one is cut."""


def with_quote(question: str, quote: str) -> str:
    """Return a question below what it quotes, as Markdown; quote: "" for nothing."""
    quote = quote.strip()
    return f"{_quoted(quote)}\n\n{question}".strip() if quote else question


def _quoted(text: str) -> str:
    if len(text) > MAX_QUOTE:
        text = text[:MAX_QUOTE] + "…"
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())
