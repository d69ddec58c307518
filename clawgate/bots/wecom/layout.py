"""How an answer is laid out in WeCom's messages: pure.

An answer has sections. One is a text from a place on, in parts that fit into a message each; a new one begins where
the message before had to end before it was full. Thinking is in the answer's first message alone.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from clawgate.bots.message import Snapshot
from clawgate.bots.splitting import open_fence, split

PART_BYTES = 16_000
"""The longest part; the rest of a message's 20,480 bytes is for the thinking and for our own sentences."""
THINKING_BYTES = 3_000
LINE_CHARS = 1_000
"""A message that has to end before it is full ends with a whole line, where the line it is in is not longer."""
SIGN_OF_LIFE = "<think></think>"
"""WeCom's clients show it as an animation. They need something visible in its place at the end."""
NOTHING_MORE = "…"
"""The end of a message whose text is in those before: the gateway has begun its answer again, and it is shorter."""
_TAG = re.compile(r"<(?=/?think\b)", re.IGNORECASE)


class Section(NamedTuple):
    """A text from a place on. opener: the fence that is open there, as a line that opens it again."""

    at: int = 0
    opener: str = ""


def contents_of(
    snapshot: Snapshot, section: Section, done: int, *, is_first: bool, continued: str, empty: str
) -> list[str]:
    """Return what is to be in the messages from the current one on; all but the last are full.

    done: the parts of this section that are in messages before.
    continued: what the section's first part begins with; "" for nothing. empty: what stands for no text at all.
    """
    parts = split(section.opener + _plain(snapshot.text[section.at :]), PART_BYTES)[done:] or [""]
    if continued and not done and parts[0]:
        parts[0] = f"{continued}\n\n{parts[0]}"
    parts[-1] = _joined(parts[-1], snapshot.remark)
    if is_first and snapshot.thinking:
        is_going_on = not (snapshot.text or snapshot.is_over)
        parts[0] = _joined(f"<think>{_thinking(snapshot.thinking, is_going_on=is_going_on)}</think>", parts[0])
    if snapshot.is_over and not (snapshot.text.strip() or snapshot.remark):
        parts[-1] = _joined(parts[-1], empty)
    elif not parts[-1].strip():
        parts[-1] = NOTHING_MORE if snapshot.is_over else SIGN_OF_LIFE
    return parts


def section_behind(text: str, section: Section, shown: int) -> Section:
    """Return the section that goes on behind what a message shows of a text, from the line that was not whole."""
    at = shown
    if shown < len(text):
        line = max(text.rfind("\n", section.at, shown) + 1, section.at)
        at = line if shown - line <= LINE_CHARS else shown
    return Section(at, open_fence(section.opener + text[section.at : at]))


def whole_lines(text: str, section: Section) -> int:
    """Return the place where a message that has to end now ends in a growing text."""
    line = text.rfind("\n", section.at) + 1
    return line if line > section.at and len(text) - line <= LINE_CHARS else len(text)


def _joined(text: str, more: str) -> str:
    return "\n\n".join(each for each in (text, more) if each.strip())


def _thinking(text: str, *, is_going_on: bool) -> str:
    """Return a thinking as far as it fits: its end while it goes on, and its beginning afterwards."""
    data = _plain(text).encode("utf-8", "replace")
    if len(data) <= THINKING_BYTES:
        return data.decode()
    if is_going_on:
        return "…" + data[-THINKING_BYTES:].decode("utf-8", "ignore")
    return data[:THINKING_BYTES].decode("utf-8", "ignore") + "…"


def _plain(text: str) -> str:
    """Return a text in which `<think>` is no tag: the model writes about it. The mark that is put in cannot be seen."""
    return _TAG.sub("<\u200b", text)
