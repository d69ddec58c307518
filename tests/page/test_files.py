"""Pictures and text files: pasted, dropped, chosen, made smaller, refused with a reason, shown, kept."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.page.test_look import findings
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, status
from tests.support.pictures import png
from tests.support.shared import Config, ollama_of, shared_gateway

if TYPE_CHECKING:
    from tests.page.chromium import Page

ENTER, ESCAPE = "\ue007", "\ue00c"
OTHER = "[data-conversation] [data-name]"
GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
FIELD = "document.querySelector('[data-input]').value"
THUMBS = "document.querySelectorAll('[data-tray] img').length"
NOTICE = "document.querySelector('[data-notice-text]').textContent"
GIVE = """
const [how, files, text] = arguments;
const transfer = new DataTransfer();
for (const [name, type, data] of files) {
  transfer.items.add(new File([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], name, {type}));
}
if (text) transfer.setData("text/plain", text);
const field = document.querySelector("[data-input]");
const options = {bubbles: true, cancelable: true};
const event = how === "paste" ? new ClipboardEvent(how, {...options, clipboardData: transfer})
                              : new DragEvent(how, {...options, dataTransfer: transfer});
return !(how === "paste" ? field : document.querySelector("[data-messages]").parentElement).dispatchEvent(event);
"""
"""Paste or drop files; tells whether the page has taken them. The pages of the protocol cannot."""


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway of two models, with room for small pictures alone."""
    config: Config = {"model": {"allowed_models": ["seeing"]}, "server": {"max_body_bytes": 1 << 18}}
    with shared_gateway(tmp_path_factory.mktemp("gate"), config) as gateway:
        yield gateway


@pytest.fixture
def upstream(gate: Gateway) -> Iterator[ScriptedOllama]:
    """An Ollama with a model that thinks, and one that sees."""
    with ollama_of(gate) as scripted:
        scripted.models.append("seeing")
        for capabilities in (["completion", "thinking"], ["completion", "vision"]):
            scripted.script(status(200, {"capabilities": capabilities}), path="/api/show")
        yield scripted


@pytest.fixture
def page(page: Page) -> Page:
    """The page, once it knows what each model can."""
    page.until("document.querySelectorAll('[data-model-choice] option').length === 2")
    page.until("document.querySelector('[data-model-choice]').options[1].textContent.includes('pictures')")
    return page


def choose(page: Page, name: str) -> None:
    page.driver.execute_script(
        "const choice = document.querySelector('[data-model-choice]');"
        "choice.value = arguments[0]; choice.dispatchEvent(new Event('change'))",
        name,
    )


def give(page: Page, how: str, *files: tuple[str, str, bytes], text: str = "") -> bool:
    """Paste or drop files of names, types and contents; tell whether the page has taken them."""
    given = [(name, kind, base64.b64encode(data).decode()) for name, kind, data in files]
    return bool(page.driver.execute_script(GIVE, how, given, text))


def size_of(picture: str) -> tuple[int, int]:
    """Read width and height of a JPEG's frame. Source: ITU T.81, B.2.2."""
    data = base64.b64decode(picture)
    assert data.startswith(b"\xff\xd8")
    at = next(at for at in range(len(data)) if data[at : at + 2] in (b"\xff\xc0", b"\xff\xc2"))
    height, width = struct.unpack(">HH", data[at + 5 : at + 9])
    return width, height


def test_the_picker_shows_what_each_model_can_and_its_choice_is_kept(page: Page, upstream: ScriptedOllama) -> None:
    shown = page.js("[...document.querySelector('[data-model-choice]').options].map((each) => each.textContent)")
    assert shown == ["qwen3:32b · thinking", "seeing · pictures"]
    assert page.is_shown("[data-think]")
    choose(page, "seeing")
    page.until("document.querySelector('[data-think]').hidden", "it cannot think")
    assert page.text("[data-empty] h2") == "Ask seeing something"
    page.send("hi")
    page.until_answer("Hello.")
    page.until_idle()
    sent = upstream.next_request().json
    assert (sent["model"], sent.get("think")) == ("seeing", None)
    page.reload()
    page.until("document.querySelector('[data-model-choice]').value === 'seeing'")
    page.send("more")
    page.until("document.querySelectorAll('[data-message]').length === 4")
    page.until_idle()
    assert upstream.next_request().json["model"] == "seeing"
    choose(page, "qwen3:32b")
    page.send("and?")
    page.until("document.querySelectorAll('[data-message]').length === 6")
    page.until_idle()
    sent = upstream.next_request().json
    assert (sent["model"], sent["think"]) == ("qwen3:32b", True)


def test_pictures_come_by_paste_drop_and_button(page: Page, upstream: ScriptedOllama, tmp_path: Path) -> None:
    """A large photo is made smaller, so that it fits; a small PNG stays as it is."""
    choose(page, "seeing")
    small = png(100)
    assert give(page, "paste", ("a.png", "image/png", small))
    page.until(f"{THUMBS} === 1")
    (tmp_path / "photo.png").write_bytes(png(3_000_000))  # 1024 by 2930
    page.find("[data-attach-input]").send_keys(str(tmp_path / "photo.png"))
    page.until(f"{THUMBS} === 2")
    assert give(page, "drop", ("c.gif", "image/gif", GIF))
    page.until(f"{THUMBS} === 3")
    assert findings(page) == []
    page.driver.execute_script("document.querySelectorAll('[data-picture-remove]')[2].click()")
    page.until(f"{THUMBS} === 2")
    page.click("[data-act]")
    page.until_answer("Hello.")
    page.until_idle()
    images = upstream.next_request().messages[-1]["images"]
    assert images[0] == base64.b64encode(small).decode()
    width, height = size_of(images[1])
    assert max(width, height) <= 1568
    assert abs(width / height - 1024 / 2930) < 0.01
    assert sum(map(len, images)) <= 3 << 16
    assert page.count("[data-message=user] [data-pictures] img") == 2
    assert page.js("[...document.querySelectorAll('[data-pictures] img')].every((each) => each.naturalWidth > 0)")
    assert not page.is_shown("[data-tray]")
    assert findings(page) == []
    page.reload()
    page.until("document.querySelectorAll('[data-pictures] img').length === 2")
    page.click("[data-do=edit]")
    assert page.js(THUMBS) == 2, "an edited question keeps its pictures"


def test_pictures_wait_where_their_message_is_written(page: Page) -> None:
    choose(page, "seeing")
    page.send("first")
    page.until_idle()
    page.write("Which of them?")
    assert give(page, "paste", ("a.png", "image/png", png(100)))
    page.until(f"{THUMBS} === 1")
    page.click("[data-message=user] [data-do=edit]")
    page.until(f"{THUMBS} === 0 && {FIELD} === 'first'")
    page.press(ESCAPE)
    page.until(f"{THUMBS} === 1 && {FIELD} === 'Which of them?'", "the edit is given up")
    page.click("[data-new]")
    page.until(f"{THUMBS} === 0 && {FIELD} === ''", "another conversation has none")
    page.click(OTHER)
    page.until(f"{THUMBS} === 1 && {FIELD} === 'Which of them?'", "they are there again")
    page.find("[data-input]").send_keys(ENTER)
    page.until("document.querySelectorAll('[data-message=user] img').length === 1")
    page.until_idle()
    page.click("[data-new]")
    page.click(OTHER)
    page.until("document.querySelectorAll('[data-message]').length === 4")
    assert page.js(f"{THUMBS} === 0"), "they are sent once"


def test_a_model_that_sees_no_pictures_says_so(page: Page, upstream: ScriptedOllama) -> None:
    assert give(page, "paste", ("a.png", "image/png", png(100)))
    page.until_shown("[data-notice]")
    assert page.js(NOTICE).startswith("qwen3:32b cannot see pictures.")
    assert page.js(THUMBS) == 0
    choose(page, "seeing")
    give(page, "paste", ("a.png", "image/png", png(100)))
    page.until(f"{THUMBS} === 1")
    choose(page, "qwen3:32b")
    page.send("what is it?")
    page.until(f"{NOTICE}.startsWith('qwen3:32b cannot')")
    assert (page.js(THUMBS), page.js(FIELD), page.count("[data-message]")) == (1, "what is it?", 0), "nothing is lost"
    choose(page, "seeing")
    page.click("[data-act]")
    page.until_answer("Hello.")
    page.until_idle()
    choose(page, "qwen3:32b")
    page.send("and now?")
    page.until("document.querySelectorAll('[data-message]').length === 4")
    page.until_idle()
    assert [m.get("images") for m in upstream.chats[-1].messages] == [None, None, None], "it would be refused for them"


def test_text_files_become_fenced_blocks_and_others_a_sentence(page: Page, upstream: ScriptedOllama) -> None:
    page.write("Look:")
    files = (
        ("app.py", "text/x-python", "print('``` 你好')\r\n".encode()),
        ("notes.txt", "", "笔记".encode("gb18030")),
    )
    assert give(page, "drop", *files)
    page.until(f"{FIELD}.includes('笔记')")
    assert page.js(FIELD) == "Look:\napp.py\n````python\nprint('``` 你好')\n````\nnotes.txt\n```\n笔记\n```\n"
    page.until("document.querySelector('[data-act]').dataset.act === 'send'")
    for name, data, said in (
        ("app.zip", b"PK\x03\x04\0\0", "app.zip is neither a picture nor a text."),
        ("long.log", b"x" * (1 << 19), "long.log is longer than 256 KB"),
    ):
        give(page, "drop", (name, "", data))
        page.until(f"{NOTICE}.startsWith({said!r})")
    choose(page, "seeing")
    give(page, "drop", ("broken.png", "image/png", b"\x89PNG no"))
    page.until(f"{NOTICE} === 'broken.png cannot be read.'")
    assert not give(page, "paste", ("cells.png", "image/png", png(100)), text="a\tb"), "a spreadsheet's text is meant"
    page.click("[data-act]")
    page.until_answer("Hello.")
    assert upstream.next_request().messages[-1]["content"].startswith("Look:\napp.py\n````python")
