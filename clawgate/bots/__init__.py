"""The bots of DingTalk (钉钉) and WeCom (企业微信): `clawgate bot dingtalk`, `wecom` and `check`.

    messenger ⇄ connection ⇄ dingtalk/ or wecom/ ⇄ conversations ⇄ client/ ⇄ gateway

A bot is a program of its own. It opens its connection to the messenger by itself, so that no address of ours needs to
be public, and knows the gateway by client/ alone.

    main.py           a process, from its start to its end      check.py          what `clawgate bot check` finds
    assembly.py       a bot put together from the settings      lock.py           one bot of an id on a machine
    connection.py     one connection, kept for years            link.py           one WebSocket
    conversations.py  each message to its answer, or sentence   place.py          the order of a conversation's messages
    turn.py           one answer: a thread reads, one shows     errand.py         one small request to the gateway
    sentences.py      the bot's own sentences on their way      seen.py           what was seen lately
    message.py        the values and protocols between all      failures.py       what ends a connection

The logic of a talk is pure, and the same for both messengers: the meaning of a message (talk.py), the sentences
(words.py), the text that is shown (draft.py), and its parts (splitting.py). A messenger's package has its wire, its
replies and its pace; it knows no conversations, and they know no messenger.
"""
