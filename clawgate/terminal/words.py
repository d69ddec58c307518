"""The words of `clawgate chat` for states and ends. The page's words for the same are in static/words.en.json."""

from __future__ import annotations

from clawgate.client.events import Waiting

HELP = """\
Enter sends; a line that ends with \\ goes on in the next one, and a paste keeps its lines.
Ctrl-C interrupts an answer, and what it had said stays. Ctrl-D leaves.
/continue  go on with an answer that was cut off
/new       begin a new conversation
/help      this
/quit      leave"""
LEAVE_HINT = "Ctrl-C again leaves, and so does Ctrl-D."
CONNECTING = "Sending… {s} s"
LOADING = "Waiting for the first word; the model may be loading… {s} s"
THINKING = "Thinking… {s} s"
INTERRUPTING = "Interrupting… {s} s"
RECONNECTING = "The connection was cut; connecting again… {s} s"
_WAITING = {
    "evaluating": "The model reads an interrupted message to its end first… {s} s",
    "upstream_timeout": "The request hung in Ollama; the model is being loaded again… {s} s",
}
_AWAY = "Ollama is away; trying again (attempt {attempt})… {s} s"
ENDS = {
    "interrupted": "interrupted",
    "superseded": "interrupted by a newer question of this conversation",
    "length": "cut off: the length limit was reached. /continue goes on",
    "truncated": "cut off: Ollama's stream ended too early. /continue goes on",
}
"""The words for each end but `stop` and `error`."""
UNKNOWN_SESSION = "--session: the gateway does not know {session_id} (any more)"
UNAUTHORIZED = "the gateway wants its token (server.auth_token): give it with --token, or in CLAWGATE_TOKEN"
DROPPED = "The conversation is long: its oldest {count} turns are forgotten."
ANEW = "The answer so far, anew:"
FORGOTTEN = "the gateway has forgotten this conversation in the middle of the answer (a restart?); /continue goes on"
TOLD_AGAIN = "The gateway had forgotten this conversation, and is told it again."
NO_TEXT = "The model ended without a text."


def waiting(event: Waiting) -> str:
    """Say what is waited for; {s} stands for the seconds."""
    return _WAITING.get(event.reason, _AWAY).replace("{attempt}", str(event.attempt))
