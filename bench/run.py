"""The comparison: `python -m bench.run` runs clawgate, nginx and the naive Flask relay side by side and prints ratios.

`--quick` (the default) takes some two minutes; `--goals` measures all that clawgate promises of its speed; `--guard`
makes it a check for CI. Peers that are already running are added by their URL.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, TypeAlias

from bench import goals
from bench.answers import Address
from bench.child import end_at_sigterm, raise_file_limit
from bench.load import Plan
from bench.report import comparison_json, comparison_table, say, write_json
from bench.rounds import Case, compare
from bench.targets import PROGRAMS, Bed, Target, bed, nginx, parse_settings

Outcome: TypeAlias = "tuple[str, dict[str, Any], bool]"


def main() -> None:
    """Run what the command line says; exit 1 when a guard, a goal or an answer of clawgate's fails."""
    arguments = _parser().parse_args()
    end_at_sigterm()
    raise_file_limit()
    names = tuple(name for name in arguments.only.split(",") if name)
    if unknown := set(names) - set(PROGRAMS):
        sys.exit(f"bench: --only {', '.join(unknown)}: expected some of {', '.join(PROGRAMS)}")
    if "nginx" in names and nginx() is None:
        say("nginx is not installed: left out")
        names = tuple(name for name in names if name != "nginx")
    measure = _goals if arguments.goals else _comparison
    try:
        with bed(arguments.upstream_port) as test_bed:
            text, found, is_fine = measure(test_bed, names, arguments)
    except (RuntimeError, ValueError) as error:
        sys.exit(f"bench: {error}")
    print(text)
    if arguments.json:
        write_json(arguments.json, found)
    sys.exit(0 if is_fine else 1)


def _goals(test_bed: Bed, names: tuple[str, ...], arguments: argparse.Namespace) -> Outcome:
    return goals.run(test_bed, names, arguments.rounds, parse_settings(arguments.set), say)


def _comparison(test_bed: Bed, names: tuple[str, ...], arguments: argparse.Namespace) -> Outcome:
    plan = Plan(arguments.streams, arguments.rate, arguments.seconds, history_bytes=arguments.history_bytes)
    case = Case("side by side", plan, names, arguments.rounds, parse_settings(arguments.set))
    comparison = compare(test_bed, case, _peers(arguments), say)
    is_fine = arguments.guard is None or _is_within(comparison.ratio("clawgate", "naive"), arguments.guard)
    own = comparison.summaries.get("clawgate")
    if own and own.complete < own.expected:
        say(f"clawgate: {own.expected - own.complete} answers were not complete")
        is_fine = False
    return comparison_table(comparison), comparison_json(comparison), is_fine


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.run", description="clawgate beside nginx and a naive relay")
    preset = parser.add_mutually_exclusive_group()
    preset.add_argument("--quick", action="store_true", help="100 streams x 50 tokens/s (default)")
    preset.add_argument("--goals", action="store_true", help="every goal of speed; some twelve minutes")
    parser.add_argument("--rounds", type=int, default=3, help="of each target, taken in turn")
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--rate", type=float, default=50.0, help="tokens a second and stream")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of the measured window of a round")
    parser.add_argument("--history-bytes", type=int, default=0, help="size of the history that each request carries")
    parser.add_argument("--only", default=",".join(PROGRAMS), help="of clawgate, naive, nginx; empty for peers alone")
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        metavar="NAME=KIND:URL",
        help="a running program whose Ollama is the upstream's port; KIND clawgate, ndjson or openai",
    )
    parser.add_argument("--peer-pid", action="append", default=[], metavar="NAME=PID", help="for its CPU and memory")
    parser.add_argument("--peer-token", action="append", default=[], metavar="NAME=TOKEN", help="sent as Bearer token")
    parser.add_argument("--upstream-port", type=int, default=0, help="the scripted Ollama's port, for peers to know")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of clawgate's")
    parser.add_argument("--guard", type=float, metavar="MAX", help="exit 1 when clawgate/naive is above it")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser


def _peers(arguments: argparse.Namespace) -> list[Target]:
    pids, tokens = _pairs(arguments.peer_pid), _pairs(arguments.peer_token)
    return [
        Target(name, Address.parse(where, tokens.get(name, "")), int(pids.get(name, 0)))
        for name, where in _pairs(arguments.peer).items()
    ]


def _pairs(words: list[str]) -> dict[str, str]:
    """Read NAME=VALUE words.

    Errors: ValueError for a word without a value.
    """
    pairs = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise ValueError(f"{word}: expected NAME=VALUE")
        pairs[name] = value
    return pairs


def _is_within(ratio: float | None, limit: float) -> bool:
    if ratio is None:
        say("clawgate / naive: not measured")
        return False
    say(f"clawgate / naive: {ratio:.2f}, at most {limit:g} allowed")
    return ratio <= limit


if __name__ == "__main__":
    main()
