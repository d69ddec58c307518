"""The CPU of `POST /render` for an answer (`python -m bench.rendering`): by units, and by blocks and then as a whole.

The page has each unit of an answer rendered once, and what is finished meanwhile goes together in the next request.
The way before it had each block rendered in a request of its own, and the whole once more at the end. Both ask one
gateway in turn, one request after the other; the requests of the page come from its own modules, so node is needed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from bench.child import end_at_sigterm
from bench.report import say, table
from bench.targets import Target, bed

CHARACTERS = 9000
TOKENS_PER_S = 40
CHARACTERS_PER_TOKEN = 3
PART = """## Part {0}

A paragraph with **bold words**, `code`, a [link](https://example.org/{0}) and a formula $E_{0} = m_{0} c^2$; then it
goes on for a second line, as the answers of models do. 中文**强调**也在这里，还有一些文字。

1. **First:** do this, and look at the result
   - nested `one`
   - nested two
2. **Second:** do that
3. Third

| name | value | remark |
|:---|---:|---|
| one | 1 | a **bold** word |
| two | 22 | `code` |
| three | 333 | nothing |

```python
def part_{0}(x: int) -> int:
    \"\"\"Do something with a number.\"\"\"
    return sum(value ** 2 for value in range(x))  # {0}
```

$$
\\frac{{a_{0}}}{{b}} = \\sqrt{{x^2 + y^2}}
$$

> A quoted line,
> and another

"""


def answer(characters: int) -> str:
    """Make an answer of so many characters, with everything that answers have in them."""
    parts: list[str] = []
    length = 0
    while length < characters:
        parts.append(PART.format(len(parts) + 1))
        length += len(parts[-1])
    return "".join(parts)


def by_units(text: str, node: str, tokens_per_s: float) -> list[list[str]]:
    """Return the requests of the page: the texts of each."""
    order = json.dumps({"text": text, "characters_per_s": tokens_per_s * CHARACTERS_PER_TOKEN})
    script = Path(__file__).with_suffix(".mjs")
    done = subprocess.run([node, str(script)], input=order, capture_output=True, text=True, check=True)
    requests: list[list[str]] = json.loads(done.stdout)
    return requests


def by_blocks(text: str) -> list[list[str]]:
    """Return the requests of the way before: each block that a blank line ends, and then the whole."""
    blocks: list[str] = [""]
    is_code = False
    for line in text.splitlines(keepends=True):
        is_code ^= line.startswith("```")
        blocks[-1] += line
        if not line.strip() and not is_code:
            blocks.append("")
    return [[block] for block in (*filter(str.strip, blocks), text)]


def cpu_ms(target: Target, requests: list[list[str]], times: int) -> float:
    """Make the requests so many times and return the gateway's CPU for one time."""
    begin = target.usage().cpu_s
    for _ in range(times):
        for texts in requests:
            _render(target, texts)
    return (target.usage().cpu_s - begin) * 1000 / times


def _render(target: Target, texts: list[str]) -> Any:
    url = f"http://{target.address.host}:{target.address.port}/render"
    body = json.dumps({"texts": texts}).encode()
    with urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": "application/json"})) as response:
        return json.load(response)


def main() -> None:
    """Measure both ways in turn, and print the median of the rounds' ratios."""
    parser = argparse.ArgumentParser(prog="python -m bench.rendering", description="the CPU of rendering an answer")
    parser.add_argument("--rounds", type=int, default=5, help="of each way, taken in turn")
    parser.add_argument("--times", type=int, default=10, help="the answer is rendered in a round")
    parser.add_argument("--characters", type=int, default=CHARACTERS)
    parser.add_argument("--rate", type=float, default=TOKENS_PER_S, help="tokens a second")
    arguments = parser.parse_args()
    end_at_sigterm()
    node = shutil.which("node")
    if node is None:
        sys.exit("bench: node is not installed; the page's own modules cut the answer")
    text = answer(arguments.characters)
    ways = {"by units": by_units(text, node, arguments.rate), "blocks, then the whole": by_blocks(text)}
    rounds: dict[str, list[float]] = {name: [] for name in ways}
    with bed() as test_bed:
        target = test_bed.start("clawgate", 10, {})
        for requests in ways.values():
            cpu_ms(target, requests, 2)  # what is made once is made now
        for number in range(arguments.rounds):
            for name, requests in ways.items():
                rounds[name].append(cpu_ms(target, requests, arguments.times))
            say(f"round {number + 1}: " + ", ".join(f"{name} {values[-1]:.1f} ms" for name, values in rounds.items()))
    rows = [
        [name, str(len(ways[name])), str(sum(map(len, ways[name]))), f"{statistics.median(values):.1f} ms"]
        for name, values in rounds.items()
    ]
    print(f"an answer of {len(text):,} characters, {arguments.rate:g} tokens/s\n")
    print(table(["way", "requests", "texts", "CPU"], rows))
    units, blocks = rounds.values()
    print(f"\nratio: {statistics.median(one / other for one, other in zip(units, blocks, strict=True)):.2f}")


if __name__ == "__main__":
    main()
