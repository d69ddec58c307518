"""Takes both READMEs' pictures of the page: `python -m tests.page.pictures [FOLDER]`, docs/ where none is given.

A real Chromium shows the page of a real gateway while a scripted Ollama answers. It needs fonts with Chinese glyphs
(Debian's fonts-noto-cjk).
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from tests.page.chromium import Page, start
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, done, hang, text
from tests.support.tools import ROOT, require


class Talk(NamedTuple):
    """What is asked and answered: the first answer is whole, the second is interrupted, the third streams."""

    questions: tuple[str, str, str]
    answers: tuple[str, str, str]


EN = Talk(
    (
        "What should I see in Beijing in three days?",
        "And how do I get around?",
        "How far is it around the Earth at 40° north? Show me the formula and some code.",
    ),
    (
        "A plan that leaves time to walk:\n\n"
        "| Day | Morning | Afternoon |\n|---|---|---|\n"
        "| 1 | **Forbidden City** | Jingshan Park, the view over the roofs |\n"
        "| 2 | Great Wall at Mutianyu | Temple of Heaven |\n"
        "| 3 | Summer Palace | Hutongs around the Drum Tower |\n",
        "The metro goes nearly everywhere. Buy a **Yikatong card**, or pay with your phone at",
        "A parallel is a circle whose radius shrinks with the cosine of the latitude $\\varphi$:\n\n"
        "$$U(\\varphi) = 2\\pi R\\cos\\varphi \\approx 40\\,075\\ \\text{km} \\cdot \\cos 40^\\circ "
        "\\approx 30\\,700\\ \\text{km}$$\n\n"
        "| Parallel | Latitude | Length |\n|---|---|--:|\n| Equator | 0° | 40,075 km |\n"
        "| **Beijing** | 40° | 30,700 km |\n\n"
        "```python\nfrom math import cos, pi, radians\n\n\ndef parallel_km(latitude: float) -> float:\n"
        '    """Length of a circle of latitude."""\n    return 2 * pi * 6378.137 * cos(rad',
    ),
)
ZH = Talk(
    ("北京三天怎么玩？", "市内交通呢？", "北纬 40° 绕地球一圈有多远？给出公式和代码。"),
    (
        "一份不赶时间的安排：\n\n"
        "| 天 | 上午 | 下午 |\n|---|---|---|\n"
        "| 第一天 | **故宫（提前预约）** | 景山公园，俯瞰紫禁城 |\n"
        "| 第二天 | 慕田峪长城 | 天坛 |\n"
        "| 第三天 | 颐和园 | 鼓楼一带的胡同 |\n",
        "地铁几乎到处都能到。可以办一张**一卡通**，或者直接用手机",
        "纬线是一个圆，半径随纬度 $\\varphi$ 的余弦缩小：\n\n"
        "$$U(\\varphi) = 2\\pi R\\cos\\varphi \\approx 40\\,075\\ \\text{km} \\cdot \\cos 40^\\circ "
        "\\approx 30\\,700\\ \\text{km}$$\n\n"
        "| 纬线 | 纬度 | 长度 |\n|---|---|--:|\n| 赤道 | 0° | 40 075 公里 |\n"
        "| **北京（中轴线）** | 40° | 30 700 公里 |\n\n"
        "```python\nfrom math import cos, pi, radians\n\n\ndef parallel_km(latitude: float) -> float:\n"
        '    """纬线圈的长度，单位公里。"""\n    return 2 * pi * 6378.137 * cos(rad',
    ),
)
DESKTOP = (1280, 900)
PHONE = (390, 844)


def main() -> None:
    """Take them all."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs"
    with tempfile.TemporaryDirectory() as scratch, ScriptedOllama() as ollama:
        config: dict[str, dict[str, Any]] = {"model": {"endpoint": ollama.base_url}, "server": {"graceful_seconds": 0}}
        chromium, driver_path = require("chromium", "it shows the page"), require("chromedriver", "it drives Chromium")
        driver = start(chromium, driver_path, Path(scratch) / "profile")
        try:
            with Gateway(config, Path(scratch)) as gateway:
                page = Page(driver)
                take(page, gateway, ollama, EN, "en-US", "light", DESKTOP, folder / "page-en-light.png")
                take(page, gateway, ollama, ZH, "zh-CN", "dark", DESKTOP, folder / "page-zh-dark.png")
                take(page, gateway, ollama, EN, "en-US", "dark", PHONE, folder / "page-phone-en-dark.png")
                take(page, gateway, ollama, ZH, "zh-CN", "light", PHONE, folder / "page-phone-zh-light.png")
                take(page, gateway, ollama, ZH, "zh-CN", "light", DESKTOP, folder / "page-zh-light.png")
                show(page, "zh-CN", "light", DESKTOP)
                take_interrupted(page, gateway, ollama, folder / "page-zh-interrupted.png")
                for language, name in (("en-US", "page-setup.png"), ("zh-CN", "page-zh-setup.png")):
                    show(page, language, "light", DESKTOP)
                    page.open(gateway.base_url + "/setup").shot(folder / name)
        finally:
            driver.quit()


def take(
    page: Page,
    gateway: Gateway,
    ollama: ScriptedOllama,
    talk: Talk,
    language: str,
    scheme: str,
    size: tuple[int, int],
    file: Path,
) -> None:
    """Have a talk, and take its picture while the last answer streams."""
    show(page, language, scheme, size)
    page.open(gateway.base_url + "/")
    first, second, third = talk.answers
    ollama.script(text(first), done())
    ollama.script(text(second), hang())
    ollama.script(text(third), hang())
    page.send(talk.questions[0])
    page.until_idle()
    page.send(talk.questions[1])
    page.until("[...document.querySelectorAll('[data-message=assistant]')].at(-1).querySelector('strong')")
    page.click("[data-interrupt]")
    page.until_idle()
    page.send(talk.questions[2])
    page.until("document.querySelector('math')", "the formula is rendered")
    page.until("document.body.innerText.includes('6378.137')", "the code is there")
    page.shot(file)
    page.leave()


def take_interrupted(page: Page, gateway: Gateway, ollama: ScriptedOllama, file: Path) -> None:
    """Interrupt an answer, begin to write the next question, and take the picture."""
    page.open(gateway.base_url + "/")
    ollama.script(
        text("北京值得一看的地方：\n\n1. **故宫**：先在网上预约\n2. **天坛**：清晨去，人少\n3. **颐和园**"), hang()
    )
    page.send("列出北京的景点")
    page.until("[...document.querySelectorAll('strong')].length === 3", "the third sight is there")
    page.click("[data-interrupt]")
    page.until_idle()
    page.write("只要二环以内的")
    page.shot(file)
    page.leave()


def show(page: Page, language: str, scheme: str, size: tuple[int, int]) -> None:
    """Have the next page in a language, a colour scheme and a size."""
    page.speak(language)
    page.prefer(**{"prefers-color-scheme": scheme})
    page.resize(*size)


if __name__ == "__main__":
    main()
