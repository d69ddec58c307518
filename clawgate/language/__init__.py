"""The reader's language, for lines that people read: the commands write English, `spoken` gives what is printed.

locales.py chooses the language by the environment, catalogue.py translates a line, zh.json has the sentences. No room
knows of this but those that print: a message is English everywhere else, in the log and over HTTP too. Lines that
programs wait for (`Server started on :18789`) never come here.
"""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO

from clawgate.language.catalogue import catalogue
from clawgate.language.locales import can_write, charset_of, language_of

__all__ = ["adapt", "spoken"]
DEFAULT = "utf-8"


def spoken(line: str, stream: TextIO | None = None) -> str:
    """Return an English line in the reader's language.

    Shape: stream is where it will be printed, stdout by default; where it, or the locale's charset, lacks simplified
    Chinese (ASCII, Big5), the line stays English.
    """
    encoding = getattr(stream or sys.stdout, "encoding", None) or DEFAULT
    charsets = (encoding, charset_of(os.environ) or encoding)
    if language_of(os.environ) != "zh" or not all(map(can_write, charsets)):
        return line
    return catalogue("zh").translated(line) or line


def adapt(stream: TextIO | None) -> None:
    """Have stdout or stderr write in the charset that a Chinese locale names, and fail for no character.

    Python writes UTF-8 where the system lacks the locale's own data, as over ssh: the terminal still takes GB 18030.
    """
    if not isinstance(stream, io.TextIOWrapper):
        return
    charset = charset_of(os.environ)
    if language_of(os.environ) == "zh" and charset is not None and can_write(charset):
        stream.reconfigure(encoding=charset)
    if stream.errors == "strict":
        stream.reconfigure(errors="backslashreplace")
