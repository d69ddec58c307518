"""The bots' own sentences, in the two languages of `bots.language`. docs/bots.md has them, too."""

from __future__ import annotations

from typing import NamedTuple


class Words(NamedTuple):
    """A sentence for each thing that a bot says by itself; {…} is filled in."""

    welcome: str
    stopped: str
    superseded: str
    shortened: str
    truncated: str
    restarting: str
    failed: str
    empty: str
    nothing_running: str
    nothing_to_continue: str
    cannot_continue: str
    new: str
    text_only: str
    refused: str
    busy: str
    too_many: str
    away: str
    model_away: str
    model_missing: str
    refused_by_model: str
    unauthorized: str
    waiting: str
    continued: str


ZH = Words(
    welcome="您好，有问题请直接发给我。我回答时可以随时打断：发新问题，或发“{stop}”。"
    "发“{go_on}”让我接着说；发“{new}”忘掉前面的内容，重新开始。",
    stopped="（已停止）",
    superseded="（已被新消息打断）",
    shortened="（达到长度或时间上限，在此中断；发“{go_on}”接着说）",
    truncated="（回答意外中断；发“{go_on}”接着说）",
    restarting="（机器人正在停止或重启，回答在此中断；恢复后发“{go_on}”接着说）",
    failed="（出错了，回答没有完成：{code}）",
    empty="（模型没有给出文字）",
    nothing_running="现在没有正在进行的回答。",
    nothing_to_continue="没有可以接着说的回答。",
    cannot_continue="这个回答无法接着说，请重新提问。",
    new="好的，前面的对话已忘掉，重新开始。",
    text_only="我只看得懂文字。",
    refused="您还不能使用这个机器人。请把您的用户 ID 发给管理员：{user}",
    busy="现在提问的人太多，请稍后再试。",
    too_many="您发得太快了，请等前面的回答完再发。",
    away="暂时联系不上网关，请稍后再试。",
    model_away="模型服务暂时没有响应，请稍后再试。",
    model_missing="模型还没有准备好，请联系管理员。",
    refused_by_model="模型不接受这个问题，可能是内容太长；发“{new}”可以重新开始。",
    unauthorized="机器人没有访问网关的权限，请联系管理员。",
    waiting="（正在等待模型……）",
    continued="（接上条）",
)
EN = Words(
    welcome='Hello, just ask. Interrupt an answer at any time with a new question, or with "{stop}". "{go_on}" goes '
    'on, "{new}" forgets what was said and begins anew.',
    stopped="(stopped)",
    superseded="(interrupted by a newer message)",
    shortened='(cut off at a limit of length or time; "{go_on}" goes on)',
    truncated='(cut off; "{go_on}" goes on)',
    restarting='(the bot is being stopped or restarted, and the answer was cut off; "{go_on}" goes on once it is back)',
    failed="(an error, the answer is not complete: {code})",
    empty="(the model gave no text)",
    nothing_running="No answer is being made.",
    nothing_to_continue="There is no answer to go on with.",
    cannot_continue="This answer cannot be continued; ask again.",
    new="All right: what was said is forgotten.",
    text_only="I understand text alone.",
    refused="You may not use this bot yet. Give your user ID to its administrator: {user}",
    busy="Too many people are asking; try again in a while.",
    too_many="You write faster than I can answer; wait for the answers before.",
    away="The gateway cannot be reached; try again in a while.",
    model_away="The model does not answer; try again in a while.",
    model_missing="The model is not ready; tell the administrator.",
    refused_by_model='The model refuses this question; it may be too long. "{new}" begins anew.',
    unauthorized="The bot may not use the gateway; tell the administrator.",
    waiting="(waiting for the model…)",
    continued="(continued)",
)


def words_in(language: str) -> Words:
    """Return the sentences in a language, `zh` or `en`."""
    return EN if language == "en" else ZH
