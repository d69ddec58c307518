"""The better trial model, Qwen2.5-Coder-0.5B, with its real weights: simple Chinese, simple sums, exact interrupts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from clawgate.embedded.models import QWEN_CODER
from tests.support.client import get
from tests.support.embedded import Embedded, require_better_model

GREEDY = {"temperature": 0, "num_predict": 16}


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """One process for all; its file, half a gigabyte, goes when they are done."""
    require_better_model()
    cache = tmp_path_factory.mktemp("cache")
    try:
        with Embedded(0, "--model", QWEN_CODER.name, env={"XDG_CACHE_HOME": str(cache)}) as started:
            yield started
    finally:
        shutil.rmtree(cache)


def ask(text: str) -> list[dict[str, str]]:
    """A conversation of one question."""
    return [{"role": "user", "content": text}]


@pytest.mark.parametrize(("question", "answer"), [("中国的首都是哪里", "北京"), ("17+25", "42")])
def test_it_answers_simple_questions(qwen: Embedded, question: str, answer: str) -> None:
    assert answer in "".join(qwen.answer(ask(question), GREEDY))


def test_it_says_what_it_is(qwen: Embedded) -> None:
    (listed,) = get(qwen.base_url, "/api/tags").json["models"]
    assert (listed["name"], listed["size"]) == ("qwen2.5-coder:0.5b", 491_400_064)
    assert listed["details"]["quantization_level"] == "Q4_K_M"


def test_an_answer_that_is_cut_goes_on_as_if_it_had_not_been(qwen: Embedded) -> None:
    question = ask("用一句话介绍北京。")
    pieces = qwen.answer(question, GREEDY)
    for cut in (1, 7, 13):
        qwen.answer(ask("Hi"), {"num_predict": 1})  # nothing of the answer is left in memory
        said = {"role": "assistant", "content": "".join(pieces[:cut])}
        rest = qwen.answer([*question, said], {**GREEDY, "num_predict": GREEDY["num_predict"] - cut})
        assert rest == pieces[cut:], f"cut after {said['content']!r}"
