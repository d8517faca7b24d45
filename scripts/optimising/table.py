"""The table of a decision, and the line that sums it up."""

from __future__ import annotations

from collections.abc import Sequence

from handlers.errors import listed
from handlers.runtimes.decision import EAGER, Decision, Tried
from scripts.optimising.choosing import LATE, OVERTIME, times

HEADING = ("runtime", "precision", "differs by", "same best", "ms at 1", "ms at {batch}", "size", "verdict")


def rows(decision: Decision) -> list[Sequence[str]]:
    """The heading, then a row for each candidate, the simpler first."""
    heading = tuple(word.format(batch=decision.batch) for word in HEADING)
    return [heading, *map(_row, decision.tried)]


def _row(one: Tried) -> Sequence[str]:
    return (
        " ".join([one.candidate.runtime, *one.candidate.options]),
        one.candidate.precision,
        "-" if one.error is None else f"{one.error:.2g}",
        "-" if one.agreement is None else f"{one.agreement:.1%}",
        _ms(one.ms_one),
        _ms(one.ms_full),
        f"{one.bytes / 2**20:.1f} MiB" if one.bytes else "-",
        f"{one.verdict}: {one.why}" if one.why else one.verdict,
    )


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def summary(decision: Decision) -> str:
    """ "openvino, 1.9 times as fast as eager, differs by 1.4e-05"."""
    kept = next(row for row in decision.tried if row.candidate == decision.chosen)
    eager = next(row for row in decision.tried if row.candidate == EAGER)
    if kept is eager:
        return _why_eager(decision)
    told = f"{decision.chosen}, {times(kept, eager)} times as fast as eager, differs by {kept.error:.2g}"
    return told if kept.agreement in (None, 1.0) else f"{told}, {kept.agreement:.1%} same best"


def _why_eager(decision: Decision) -> str:
    others = [row for row in decision.tried if row.candidate != EAGER]
    if others and all(row.verdict == "not tried" for row in others):
        return f"eager: {LATE}" if others[0].why == LATE else others[0].why
    passed = any(row.verdict in ("slower", "tie") for row in others)
    return "eager, nothing is clearly faster" if passed else "eager, nothing else passes"


def late(decision: Decision) -> str:
    """What there was no time to try, "" where everything was tried."""
    return listed((str(row.candidate) for row in decision.tried if row.why in (LATE, OVERTIME)), 3)
