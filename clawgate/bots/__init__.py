"""The bots of DingTalk (钉钉) and WeCom (企业微信): `clawgate bot dingtalk`, `wecom` and `check`.

    messenger ⇄ connection ⇄ dingtalk/ or wecom/ ⇄ conversations ⇄ client/ ⇄ gateway

A bot is a program of its own. It opens its connection to the messenger by itself, so that no address of ours needs to
be public, and knows the gateway by client/ alone. What is said, when it is shown and where a text is cut is pure, and
the same for both: talk.py, draft.py, splitting.py, pacing.py. The threads are those of conversations.py: one reads an
answer and one shows it (turn.py), in the order of its conversation (place.py). A messenger's package has its wire.
"""
