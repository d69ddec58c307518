"""An answer as DingTalk shows it: its Markdown, mended for DingTalk's renderers. Pure.

DingTalk's Markdown differs by client and by the kind of message. Two things are mended, outside of code:

- A single newline. Some clients join the lines: two blanks at a line's end keep them apart, and nobody sees them. In a
  card that is not enough: `<br>` is, between two lines of plain text; it would break lists and tables.
- HTML. A message with a tag in it is rendered, or shown as nothing at all: `<` before a name is written as `&lt;`.
  `<br>` stays: models write it in tables.

Tables and code are left as they are: the clients of today show them.
"""

from __future__ import annotations

import re

from clawgate.bots.message import Snapshot
from clawgate.bots.splitting import closed

MAX_TITLE = 20
MAX_SEARCHED = 2_000
"""So far into a text its title is looked for."""
MAX_THINKING = 600
"""So many characters of thinking are shown, from its beginning: what stands there once does not change any more."""
NOTHING = "…"
"""The text of an answer that has none: DingTalk shows an empty one as a blank card or message."""
FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_CODE_OR_TAG = re.compile(r"(?P<code>(?<!`)(`+)(?!`).*?(?<!`)\2(?!`))|<(?!br */?>)(?=[A-Za-z/!?])")
"""A row of marks is taken as a whole: to look for each part of it would take the cube of its length in time."""
_BLOCK = re.compile(r"\s*(?:[-+*]\s|\d+[.)]\s|[#>|`~=<]|---|___|\*\*\*)|\s{4}")
"""The beginning of a line that is, or may be, more than plain text."""
_NO_BLOCK_YET = re.compile(r"[^\s\d#>|`~=_<+*-]|\*\*[^\s*]")
"""The beginning of a line that is plain text, however it goes on."""


def whole_of(snapshot: Snapshot) -> str:
    """Return all that is to be seen of an answer, as Markdown of the usual kind."""
    text = snapshot.text.strip("\n")
    if snapshot.remark:
        text = closed(text)
    return "\n\n".join(each for each in (_quoted(snapshot.thinking), text, snapshot.remark) if each.strip())


def growing_of(snapshot: Snapshot) -> str:
    """Return what can be shown while the answer goes on: it only grows as the answer does.

    The remark is left out, and so is the last line from the first character on whose meaning is open.
    """
    text = snapshot.text.lstrip("\n")
    before, newline, last = text.rpartition("\n")
    last = re.split(r"[`<]", last, maxsplit=1)[0].rstrip()
    kept = last if _NO_BLOCK_YET.match(last) else ""
    shown = (before + newline + kept).rstrip() if before or kept else ""
    return "\n\n".join(each for each in (_quoted(snapshot.thinking), shown) if each.strip())


def rendered(text: str, *, is_card: bool = False) -> str:
    """Return Markdown as DingTalk takes it.

    Shape: a text that goes on at a line's end is rendered to one that goes on.
    """
    lines = text.split("\n")
    made: list[str] = []
    fence = ""
    for number, line in enumerate(lines):
        is_last = number + 1 == len(lines)
        found = FENCE.match(line)
        if fence:
            made += [line, "" if is_last else "\n"]
            if found and found[1].startswith(fence) and not line[found.end() :].strip():
                fence = ""
        elif found:
            fence = found[1]
            made += [line, "" if is_last else "\n"]
        else:
            after = "" if is_last else lines[number + 1]
            made += [_CODE_OR_TAG.sub(_escaped, line), "" if is_last else _newline(line, after, is_card)]
    return "".join(made)


def units(text: str) -> int:
    """Return an upper bound of the bytes that a text takes in any body of ours, and at least four for a character.

    A newline, with two blanks before it, takes five in the JSON inside of a JSON; a control character seven. Four for
    each other character keep the number of characters low, too: DingTalk's documents name bounds of both kinds.
    """
    return 4 * len(text) + text.count("\n") + 3 * len(_CONTROL.findall(text))


def title_of(snapshot: Snapshot) -> str:
    """Return the first words of an answer without its marks: the line that a list of chats shows."""
    text = snapshot.text.lstrip()[:MAX_SEARCHED]
    for line in (text or snapshot.remark).split("\n"):
        if FENCE.match(line):  # its words are the name of a language
            continue
        plain = " ".join(re.sub(r"[`*_#>|~<\[\]]|^\s*(?:[-+]|\d+[.)])\s", " ", line).split())
        if plain:
            return "".join(filter(str.isprintable, plain[:MAX_TITLE])).strip() or NOTHING
    return NOTHING


def _quoted(thinking: str) -> str:
    """Return thinking as a quote, bounded."""
    thinking = thinking.strip()
    if len(thinking) > MAX_THINKING:
        thinking = thinking[:MAX_THINKING].rstrip() + "…"
    return "\n".join(f"> {line}".rstrip() for line in thinking.split("\n")) if thinking else ""


def _newline(line: str, after: str, is_card: bool) -> str:
    if not line.strip() or not after.strip() or "|" in line:
        return "\n"
    if is_card and not _BLOCK.match(line) and _NO_BLOCK_YET.match(after):
        return "<br>"
    return "\n" if line.endswith(("  ", "\\")) else "  \n"


def _escaped(found: re.Match[str]) -> str:
    return found["code"] or "&lt;"
