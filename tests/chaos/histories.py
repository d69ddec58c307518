"""The invariants of a history: each sight of it, in a prompt or a view, is what was said before, and all of it.

A sight is a list of (role, content). The last question in it leads to the act that asked it; how far that act's answer
came is known exactly where a client read it to its end or an interrupt told its partial text, and within bounds where
the client left. The model must have been given, before the question, all that stands there.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from tests.chaos.answers import says, tag_of
from tests.chaos.invariants import question_of, refused_by
from tests.chaos.lives import Act, Asked, Life

History = list[tuple[str, str]]


class Histories:
    """The histories of one life; `is_trimmed` where the oldest turns may be gone."""

    def __init__(self, life: Life, is_trimmed: bool) -> None:
        self.life = life
        self._is_trimmed = is_trimmed
        self._partials = {
            act.reply["run_id"]: act.reply["partial"]
            for act in life.acts
            if act.kind == "interrupt" and act.status == 200 and act.reply["interrupted"]
        }
        self._refused = refused_by(life)
        self._runs: defaultdict[str, list[Act]] = defaultdict(list)
        for act in life.chats:
            if act.may_be_admitted:
                self._runs[act.tag or (question_of(act.asked[0]) if act.asked else "")].append(act)

    def flaws(self) -> Iterator[tuple[str, str]]:
        """Yield the name of each invariant that does not hold, and a sentence."""
        for check in (
            self.partial_is_what_was_told,
            self.a_prompt_is_the_history,
            self.a_view_is_the_history,
            self.an_answer_is_followed_once,
        ):
            yield from ((check.__name__, told) for told in check())

    def partial_is_what_was_told(self) -> Iterator[str]:
        """The partial text of an interrupt is all that its stream told, or more where its reader had left."""
        for act in self.life.chats:
            partial = self._partials.get(act.run_id)
            if partial is None or not act.is_streamed:
                continue
            if not (partial == act.told or (act.is_left and partial.startswith(act.told))):
                yield f"{act.name}: the interrupt told {partial!r}, the stream {act.told!r}"

    def a_prompt_is_the_history(self) -> Iterator[str]:
        """The model is asked the session's context as its last answer left it, and the new question."""
        for act in self.life.chats:
            for number, asked in enumerate(act.asked):
                if number:
                    flaw = self._flaw_of_retry(act, asked)
                elif act.kind == "messages":
                    given = [(message["role"], message["content"]) for message in act.body["messages"]]
                    flaw = "" if asked.messages == given else f"the model got {asked.messages}"
                elif act.kind == "message":
                    context = _before(asked)
                    is_own = asked.messages[len(context) :] == [("user", act.body["message"])]
                    flaw = self._flaw(context) if is_own else "its own question is not the last"
                    is_bare = all(role == "system" for role, _ in context) and not self._refused
                    if is_bare and act.body.get("session_id"):
                        flaw = "the context is gone"
                else:
                    flaw = self._flaw(asked.messages)
                if flaw:
                    yield f"{act.name}: {flaw}; {asked.messages}"

    def _flaw_of_retry(self, act: Act, asked: Asked) -> str:
        first = act.asked[0]
        is_same = _before(asked) == _before(first)
        reached = max(each.base + each.sent for each in act.asked if each is not asked)
        return "" if is_same and first.base <= asked.base <= reached else "the question changed when it was asked again"

    def a_view_is_the_history(self) -> Iterator[str]:
        """A view shows the context, each answer as it was told, and whether it was finished."""
        for act in self.life.acts:
            if act.kind != "view" or act.status != 200:
                continue
            kept = [each for each in act.reply["messages"] if not each.get("refused")]
            shown: History = [(each["role"], each["content"]) for each in kept]
            told = [each for each in shown if each[1]]
            if act.reply["streaming"]:  # the question of the answer in flight, and what it goes on from, come last
                told = told[: _last_question(told)]
            if flaw := self._flaw(told):
                yield f"{act.name}: {flaw}; {shown}"
            elif not act.reply["streaming"] and (flaw := self._flaw_of_mark(act)):
                yield f"{act.name}: {flaw}"
        final = self.life.acts[-1]
        is_unsure = any(act.is_left and act.may_be_admitted and not act.asked for act in self.life.chats)
        if final.kind == "view" and final.status == 200 and final.reply["streaming"] and not is_unsure:
            yield f"{final.name}: {final.reply['run_id']} is in flight, and all are over"

    def _flaw_of_mark(self, view: Act) -> str:
        last = view.reply["messages"][-1]
        if last.get("refused"):
            return ""
        runs = self._runs[tag_of(view.reply["messages"][-2]["content"])] if last["role"] == "assistant" else []
        if last["role"] != "assistant":
            return "the last question has no answer, and none is in flight"
        if len(runs) != 1 or runs[0].is_left or not runs[0].reason or self._is_continued:
            return ""
        is_whole = runs[0].reason == "stop"
        return "" if last.get("interrupted", False) is not is_whole else f"ended as {runs[0].reason}, shown as {last}"

    @property
    def _is_continued(self) -> bool:
        return any(act.kind == "continue" and act.may_be_admitted and not act.asked for act in self.life.chats)

    def an_answer_is_followed_once(self) -> Iterator[str]:
        """No two questions follow the same answer, unless the client gave the history anew: none is overwritten."""
        follows: Counter[tuple[str, int]] = Counter()
        for act in self.life.chats:
            if act.kind == "messages" or not act.asked or question_of(act.asked[0]) in self._refused:
                continue
            context = _before(act.asked[0]) if act.kind == "message" else act.asked[0].messages
            if all(role == "system" for role, _ in context):
                continue
            length = len(context[-1][1]) if context[-1][0] == "assistant" else 0
            follows[tag_of(context[_last_question(context)][1]), length] += 1
        silent = sum(act.kind == "continue" and act.may_be_admitted and not act.asked for act in self.life.chats)
        # The question behind a refused one follows what its client gave before that.
        anew = sum(act.kind == "messages" and act.may_be_refused for act in self.life.chats)
        for (tag, length), number in follows.items():
            runs = [run for run in self._runs[tag] if _holds(self._reach(run), length)]
            if number > len(runs) + silent + anew:
                yield f"{tag} at {length} characters was followed {number} times, {[run.name for run in runs]} left it"

    def _flaw(self, context: History) -> str:
        """Say what is wrong with a history that is over; "" where nothing is."""
        is_none = all(role == "system" for role, _ in context)
        while any(role != "system" for role, _ in context):
            rest = list(context)
            answer = rest.pop()[1] if rest[-1][0] == "assistant" else ""
            if not rest or rest[-1][0] != "user":
                return "an answer stands without its question"
            tag = tag_of(rest.pop()[1])
            if answer != says(tag, 0, len(answer)):
                return f"{answer!r} is not what {tag} is answered with"
            reaches = {run.name: self._reach(run) for run in self._runs[tag]}
            runs = [run for run in self._runs[tag] if _holds(reaches[run.name], len(answer))]
            if not runs:
                return f"{tag} has {len(answer)} characters, known are {reaches}"
            before = [known for run in runs if (known := _known_before(run)) is not None]
            if before:
                is_right = any(rest == known or (self._is_trimmed and _is_tail(rest, known)) for known in before)
                return "" if is_right else f"what stands before {tag} is not what stood there: {before}"
            context = rest
        return "" if is_none or self._is_trimmed or self._refused else "the history begins in the middle"

    def _reach(self, run: Act) -> tuple[int, int]:
        """Return the shortest and the longest that the answer can be after this run, all of it."""
        base = run.asked[0].base if run.asked else _prefill(run)
        partial = self._partials.get(run.run_id)
        if partial is not None:
            return base + len(partial), base + len(partial)
        told = base + len(run.told)
        if run.status == 200 and not run.is_left and not run.fault:
            return told, told
        return told, max((each.base + each.sent for each in run.asked), default=base)


def _holds(reach: tuple[int, int], length: int) -> bool:
    return reach[0] <= length <= reach[1]


def _prefill(run: Act) -> int:
    last = run.body.get("messages", [{"role": "user"}])[-1]
    return len(last["content"]) if last["role"] == "assistant" else 0


def _last_question(context: History) -> int:
    return max((index for index, (role, _) in enumerate(context) if role == "user"), default=0)


def _before(asked: Asked) -> History:
    return asked.messages[: _last_question(asked.messages)]


def _known_before(run: Act) -> History | None:
    """Return what the model was given before the run's question; None where it was not asked and nobody knows."""
    if run.kind == "messages":
        given = [(message["role"], message["content"]) for message in run.body["messages"]]
        return given[: _last_question(given)]
    if run.kind == "message" and not run.body.get("session_id"):
        return []
    return _before(run.asked[0]) if run.asked else None


def _is_tail(rest: History, whole: History) -> bool:
    """Tell whether the oldest turns are missing; system messages stay."""
    kept, turns = ([each for each in history if each[0] != "system"] for history in (rest, whole))
    system, all_system = ([each for each in history if each[0] == "system"] for history in (rest, whole))
    return system == all_system and (not kept or (kept[0][0] == "user" and turns[-len(kept) :] == kept))
