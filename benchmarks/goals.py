"""What the endpoints are to reach, each a ratio within one run, and whether they do.

    .venv/bin/python -m benchmarks.goals                       # all parts, half an hour on two free cores
    .venv/bin/python -m benchmarks.goals --only resnet_int8    # one of them
    .venv/bin/python -m benchmarks.goals --show                # what was measured before

What came out lies in .pthserve/goals, JSON for each part, with an HTML report beside it; the table shows all
that lies there. Needs the extras `bench` and `dev` (scripts/pthserve setup bench dev), the one of int8
`int8`, and the weights of parity_resnet18.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console

from benchmarks.goal import Goal
from benchmarks.parts import PARTS, Bench, Outcome
from handlers.errors import Refusal
from scripts.benchmarking import extra, report
from scripts.benchmarking.result import Result
from scripts.endpoints import print_table, say
from scripts.places import Places, shown
from scripts.processes.children import Children
from scripts.processes.scratch import Scratch

SECONDS, ROUNDS = 5.0, 3  # of each contestant at each number of connections


def main() -> int:
    """The exit status is 1 if a goal of what was measured now is missed."""
    asked = _parser().parse_args()
    console = Console()
    missed = 0
    for name in [] if asked.show else asked.only or PARTS:
        say(console, f"\n{name}", "bold")
        outcome = measure(name, asked.seconds, asked.rounds, console)
        keep(name, outcome, asked.out)
        missed += sum(not one.met for one in outcome.goals)
    say(console, "")
    print_table(rows(asked.out), console)
    say(console, f"\nreports: {shown(asked.out.resolve())}")
    return 1 if missed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, help="parts, instead of all")
    parser.add_argument("--show", action="store_true", help="measure nothing")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each round")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--out", type=Path, default=Places().state / "goals", help="folder of what came out")
    return parser


def measure(name: str, seconds: float, rounds: int, console: Console) -> Outcome:
    """One part; all that it started and wrote elsewhere is gone when it returns."""
    with Scratch("goals-") as scratch, Children() as children:
        return PARTS[name](Bench(Places(), scratch, children, console, seconds, rounds))


def keep(name: str, outcome: Outcome, out: Path) -> None:
    """NAME.json, and NAME.html of what was measured under load."""
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_bytes(msgspec.json.format(msgspec.json.encode(outcome)))
    if isinstance(outcome.found, Result):
        (out / f"{name}.html").write_text(report.page(outcome.found), encoding="utf-8")


def rows(out: Path) -> list[tuple[str, ...]]:
    """A line for each goal of all parts that lie there."""
    told: list[tuple[str, ...]] = [("part", "goal", "bound", "measured", "")]
    for name in PARTS:
        path = out / f"{name}.json"
        if path.is_file():
            told += [_row(name, one) for one in kept(path)]
        else:
            told.append((name, "not measured yet", "", "", ""))
    return told


def kept(path: Path) -> Sequence[Goal]:
    found: dict[str, object] = msgspec.json.decode(path.read_bytes())
    return msgspec.convert(found["goals"], list[Goal])


def _row(part: str, one: Goal) -> tuple[str, ...]:
    bound = f"{'at least' if one.at_least else 'at most'} {one.bound:g}"
    return part, one.what, bound, f"{one.measured:.2f}", "met" if one.met else "missed"


if __name__ == "__main__":
    try:
        extra.require([*extra.LOADING, *extra.BASELINES])
        sys.exit(main())
    except Refusal as error:
        sys.exit(f"goals: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
