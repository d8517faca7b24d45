"""What `shadow` reports: for programs one object, for people a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
from msgspec import Struct
from rich.console import Console

from handlers.recipe import Tolerance
from scripts.endpoints import print_table, say
from scripts.shadowing.difference import Kind
from scripts.shadowing.kept import Look
from scripts.shadowing.tally import Found, Tally

WORDS: Mapping[Kind, str] = {
    "equal": "equal",
    "serving_silent": "no answer from the serving version alone",
    "candidate_silent": "no answer from the candidate alone",
    "numbers": "numbers differ",
    "label": "best label changed",
    "form": "form differs",
    "status": "status differs",
    "uncompared": "couldn't be compared",
    "unanswered": "no answer from either",
}

SHOWN = 3
"""Of the worst, in the terminal."""

Ended = Literal["requests", "time", "interrupted", "taken back", "default moved", "no supervisor", "broken"]

ENDED: Mapping[Ended, str] = {
    "taken back": "; another command ended it",
    "default moved": "; another version is the default now",
    "no supervisor": "; nobody serves any more",
    "broken": "; nothing could be looked at any more",
}
"""What wasn't asked for."""


class Report(Struct, frozen=True):
    """The whole of it, as it lies in the file."""

    name: str
    serving: str
    candidate: str
    percent: float
    """Of the default's requests that were mirrored."""
    seconds: float
    ended: Ended
    tolerance: Tolerance
    """Within it numbers are equal."""
    not_looked_at: int
    """Mirrored, but more than both versions had answered by then."""
    all: Found
    kinds: Mapping[Kind, Found]
    kept: str
    """The folder of the worst; "" where there are none."""
    worst: Sequence[Look]

    def encoded(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


def line(tally: Tally, left: int) -> str:
    """How it stands, while it goes on."""
    looked, equal = tally.looked_at(), tally.count("equal")
    unanswered, uncompared, largest = tally.count("unanswered"), tally.count("uncompared"), tally.largest()
    differ = looked - equal - unanswered - uncompared
    told = [f"{looked:,} looked at", f"{equal:,} equal", f"{differ:,} differ"]
    if largest is not None:
        told.append(f"numbers by {largest:.2g} at most")
    if unanswered:
        told.append(f"{unanswered:,} without an answer from either")
    if uncompared:
        told.append(f"{uncompared:,} that couldn't be compared")
    return ", ".join([*told, f"{left:,} not looked at"])


def tell(report: Report, console: Console) -> None:
    """As a table, with the first of the worst."""
    say(
        console,
        f"{report.name}: {report.candidate} beside {report.serving}, {report.percent:g}% of its requests, "
        f"{report.seconds:.0f} s{ENDED.get(report.ended, '')}",
    )
    looked = report.all.requests
    left = f"; {report.not_looked_at:,} more came meanwhile" if report.not_looked_at else ""
    say(console, f"looked at {looked:,}{left}")
    if not looked:
        return
    rows: list[tuple[str, ...]] = [("answers", "requests", "share", "largest", "median")]
    rows += [_row(WORDS[kind], one, looked) for kind, one in report.kinds.items()]
    print_table([*rows, _row("all", report.all, looked)], console)
    for one in report.worst[:SHOWN]:
        say(console, f"{one.folder}: {one.what}")
    if report.kept:
        say(console, f"the {len(report.worst)} worst are kept in {report.kept}")


def _row(word: str, one: Found, of: int) -> tuple[str, ...]:
    apart = ("-" if value is None else f"{value:.2g}" for value in (one.largest, one.median))
    return (word, f"{one.requests:,}", f"{100 * one.requests / of:.4g}%", *apart)
