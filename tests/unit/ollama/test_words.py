"""The words of a body: Ollama's own error, or the title of a proxy's page, never its source."""

from __future__ import annotations

import time

import pytest

from clawgate.ollama.lenient import MAX_WORDS
from clawgate.ollama.words import words_of

NGINX = b"""<html>\r
<head><title>413 Request Entity Too Large</title></head>\r
<body>\r
<center><h1>413 Request Entity Too Large</h1></center>\r
<hr><center>nginx/1.22.1</center>\r
</body>\r
</html>\r
<!-- a padding to disable MSIE and Chrome friendly error page -->\r
"""


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error":"out of memory"}', "out of memory"),
        (b'{"error":{"message":"in an object","code":7}}', "in an object"),
        (b'{"error":{"code":7}}', '{"code":7}'),
        (b'{"error":null}', '{"error":null}'),
        (b'{"error":["a"]}', '["a"]'),
        (b'{"message":"no error"}', '{"message":"no error"}'),
        (b"  plain\ntext \n", "plain\ntext"),
        (b"\xff" * 3, "\ufffd" * 3),
        (b"x" * 9999, "x" * MAX_WORDS),
        (b"", ""),
        (NGINX, "413 Request Entity Too Large"),
        (
            b"<!DOCTYPE html><TITLE lang=en>\n 502 Bad\n  Gateway &amp; more </TITLE><h1>x</h1>",
            "502 Bad Gateway & more",
        ),
        (b"<html><title> </title><h2>Sorry,<br>the <b>model</b> is away</h2><p>x", "Sorry, the model is away"),
        (b"<html><h1>Away</h1><p>x</p><h2>Details</h2>", "Away"),
        (b"<html><script>if (a < b) x</script><style>p{}</style><p>Caf&eacute; closed</p>", "Caf\xe9 closed"),
        (b"<!-- <title>no</title> > --><html><title>yes</title>", "yes"),
        (b"<html><title>cut in the mid", "<html><title>cut in the mid"),
        (b'<?xml version="1.0"?><Error><Code>Denied</Code><Message>no entry</Message></Error>', "Denied no entry"),
        (b"<html><svg><title>a picture</title></svg><title>Blocked</title>", "Blocked"),
        (b"<html>", "<html>"),
        (b"<title>" + b"x" * 9999 + b"</title>", "x" * MAX_WORDS),
        ("<title>a\x1b[31m\u202eb\x9b</title>".encode(), "a [31m b"),
        (b"<p>&#" + b"1" * 9999, "&#" + "1" * (MAX_WORDS - 2)),
    ],
)
def test_words_are_those_for_people(body: bytes, words: str) -> None:
    assert words_of(body) == words


@pytest.mark.parametrize(
    "piece",
    [
        b"<",
        b"a",
        b" ",
        b"<title",
        b"<title>",
        b"<h1>",
        b"<!--",
        b"<script>",
        b"<a ",
        b"&amp",
        b"<h1></h1>",
        b"<!-- -->",
    ],
)
def test_no_page_takes_long_to_read(piece: bytes) -> None:
    before = time.thread_time()
    words_of(b"<html>" + piece * (1 << 16))
    words_of(b"<a" + piece * (1 << 16))
    assert time.thread_time() - before < 0.3
