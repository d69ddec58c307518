"""A conversation that is longer than the model's context, cut as Ollama cuts it. Pure; engine.py calls it.

The oldest messages go first; system messages and the last message stay. If even these are too long, the longest of
them loses its beginning, so that the prompt fills half of the context and the answer has the other half. Ollama cuts
there too, but without regard to what it cuts: the system message and the head of the last one go, and the template with
them.

Source: Ollama server/prompt.go (chatPrompt), llm/llama_server.go (contextShiftPromptLimit).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

from clawgate.embedded.job import EngineFailed, Message

_BYTES_PER_TOKEN = 32
"""No text has so many on average: what is longer than that needs no counting, which takes 2 s for a megabyte."""


def is_surely_too_long(messages: list[Message], context: int) -> bool:
    """Say whether a conversation is too long by its bytes alone, or by its messages: each takes a token or more."""
    size_bytes = sum(len(message["content"].encode()) for message in messages)
    return len(messages) >= context or size_bytes > context * _BYTES_PER_TOKEN


def fitted(
    messages: list[Message],
    context: int,
    keep: int,
    count: Callable[[list[Message]], int],
    without_head: Callable[[str, int], str],
) -> list[Message]:
    """Return what of a conversation the context takes.

    Shape: count tells the tokens of a conversation's prompt, without_head a text without its first so many tokens.
    Errors: EngineFailed where the template alone is too long.
    """
    last = len(messages) - 1

    def fits(left_out: int) -> bool:
        kept = _without_oldest(messages, left_out)
        return not is_surely_too_long(kept, context) and count(kept) < context

    left_out = bisect_left(range(last), True, key=fits)
    kept = _without_oldest(messages, left_out)
    if left_out < last or fits(last):
        return kept
    return _shortened(kept, context, context - max((context - keep) // 2, 1), count, without_head)


def _without_oldest(messages: list[Message], left_out: int) -> list[Message]:
    return [message for message in messages[:left_out] if message["role"] == "system"] + messages[left_out:]


def _shortened(
    messages: list[Message],
    context: int,
    room: int,
    count: Callable[[list[Message]], int],
    without_head: Callable[[str, int], str],
) -> list[Message]:
    kept = [{**message, "content": _tail(message["content"], context * _BYTES_PER_TOKEN)} for message in messages]
    longest_first = sorted(kept, key=lambda message: len(message["content"]), reverse=True)
    texts = [message["content"] for message in longest_first]

    def empty(number: int) -> None:
        for index, message in enumerate(longest_first):
            message["content"] = "" if index < number else texts[index]

    def fits(number: int) -> bool:
        empty(number)
        return not is_surely_too_long(kept, context) and count(kept) <= room

    number = bisect_left(range(len(kept) + 1), True, key=fits)
    if number > len(kept):
        raise EngineFailed(f"a context of {context} tokens does not take the model's template", 400)
    at = max(number - 1, 0)
    empty(at)
    while (excess := count(kept) - room) > 0:
        longest_first[at]["content"] = without_head(longest_first[at]["content"], excess)
    return kept


def _tail(text: str, size_bytes: int) -> str:
    return text.encode()[-size_bytes:].decode(errors="ignore")
