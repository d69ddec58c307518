"""DingTalk (钉钉): an application's bot in stream mode.

    DingTalk ⇄ stream (messages in) ⇄ conversations ⇄ reply ⇄ sending, card ⇄ api (calls out)

`stream` is the wire of the connection that DingTalk sends messages through. An answer goes back by HTTP: as Markdown
messages at its end, or in a card that grows. messages, markup and pacing are pure.
"""
