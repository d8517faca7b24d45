"""What verify found: each way's largest differences, and every answer that is beyond the tolerance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct
from rich.console import Console

from handlers.recipe import Recipe, Sample, Tolerance
from handlers.tasks import Task
from scripts.endpoints import say
from scripts.errors import CommandError
from scripts.places import shown
from scripts.proof.comparison import Gap, gaps
from scripts.proof.expectation import expected_gaps

SHOWN = 3
"""Failures of one way; the rest is a number."""


class Answers(Struct, frozen=True):
    """One way's answers to all inputs; `mismatch` is what its own replay of the samples said, and `problem`
    why it can't answer at all."""

    way: str
    answers: Sequence[bytes | CommandError] = ()
    mismatch: str = ""
    problem: str = ""


class Reference(Struct, frozen=True):
    """The way that the others are held against, and where its samples are from; they begin the inputs."""

    way: str
    recipe: Recipe
    folder: Path
    inputs: Sequence[Path]

    def sample(self, index: int) -> Sample | None:
        samples = self.recipe.handler.samples
        return samples[index] if index < len(samples) else None

    def tolerance(self, index: int) -> Tolerance:
        """The sample's; of a file it is the widest that a sample has."""
        sample = self.sample(index)
        every = [one.tolerance for one in self.recipe.handler.samples]
        if sample is not None:
            return sample.tolerance
        if not every:
            return Tolerance()
        return Tolerance(max(one.absolute for one in every), max(one.relative for one in every))

    def name(self, index: int) -> str:
        sample = self.sample(index)
        return sample.input if sample is not None else shown(self.inputs[index])


class Failure(Struct, frozen=True):
    """One thing that makes the exit status 1; without an input it holds for the whole way."""

    way: str
    problem: str
    input: str = ""


class Row(Struct, frozen=True):
    """One way: how many inputs it answered, and its largest absolute differences, None without any."""

    way: str
    answered: int
    from_expect: float | None
    from_reference: float | None


class Verdict(Struct, frozen=True):
    """The whole table; it passes when nothing failed."""

    name: str
    version: str
    reference: str
    inputs: int
    ways: list[Row]
    failures: list[Failure]
    notes: list[str]


def judge(
    name: str, version: str, ways: Sequence[Answers], reference: Reference, task: Task, notes: list[str]
) -> Verdict:
    """Hold every way's answers against the samples' expectations and against the reference's answers."""
    compared_with = next(way for way in ways if way.way == reference.way)
    rows, failures = [], []
    for way in ways:
        row, found = _judge(way, compared_with, reference, task)
        rows.append(row)
        failures += found
    return Verdict(name, version, reference.way, len(reference.inputs), rows, failures, notes)


def _judge(
    way: Answers, compared_with: Answers, reference: Reference, task: Task
) -> tuple[Row, list[Failure]]:
    failures = [Failure(way.way, problem) for problem in (way.problem, way.mismatch) if problem]
    others = compared_with.answers if way is not compared_with else []
    compared = [
        _compare(way, index, others[index] if others else None, reference, task)
        for index in range(len(way.answers))
    ]
    for one in compared:
        failures += one.failures
    row = Row(
        way.way,
        sum(isinstance(answer, bytes) for answer in way.answers),
        _largest([one.from_expect for one in compared]),
        _largest([one.from_reference for one in compared]),
    )
    return row, failures


class Compared(Struct, frozen=True):
    """One input by one way: its gaps from what is expected and from the reference, None without either."""

    from_expect: list[Gap] | None = None
    from_reference: list[Gap] | None = None
    failures: list[Failure] = []


def _compare(
    way: Answers, index: int, other: bytes | CommandError | None, reference: Reference, task: Task
) -> Compared:
    answer, name, sample = way.answers[index], reference.name(index), reference.sample(index)
    if isinstance(answer, CommandError):
        return Compared(failures=[Failure(way.way, f"refused: {answer}", name)])
    got, tolerance = msgspec.json.decode(answer), reference.tolerance(index)
    from_expect = None if sample is None else list(expected_gaps(sample, reference.folder, task, got))
    from_reference = list(gaps(msgspec.json.decode(other), got)) if isinstance(other, bytes) else None
    wrong = [] if way.mismatch else _beyond(from_expect, tolerance, "expected")
    wrong += _beyond(from_reference, tolerance, f"{reference.way} says")
    return Compared(from_expect, from_reference, [Failure(way.way, problem, name) for problem in wrong])


def _beyond(found: Sequence[Gap] | None, tolerance: Tolerance, by: str) -> list[str]:
    """The worst of the gaps that the tolerance doesn't cover, as one sentence, or none."""
    wrong = [gap for gap in found or () if not gap.within(tolerance)]
    if not wrong:
        return []
    worst_one = max(wrong, key=lambda gap: gap.size)
    more = f"; {len(wrong)} of {len(found or ())} values differ" if len(wrong) > 1 else ""
    return [f"{worst_one.told(by)}{more}"]


def _largest(found: Sequence[Sequence[Gap] | None]) -> float | None:
    return max((gap.size for one in found if one is not None for gap in one), default=None)


def print_verdict(verdict: Verdict, console: Console) -> None:
    """The table, what failed, and what to know of it."""
    table = [("way", "answered", "from expect", f"from {verdict.reference}")]
    for row in verdict.ways:
        answered = f"{row.answered} of {verdict.inputs}"
        table.append((row.way, answered, _number(row.from_expect), _number(row.from_reference)))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    say(console, f"{verdict.name} {verdict.version}: the largest difference of each way\n")
    for cells in table:
        say(console, "  ".join(map(str.ljust, cells, widths)).rstrip(), "bold" if cells is table[0] else None)
    say(console, "")
    for row in verdict.ways:
        _print_failures([failure for failure in verdict.failures if failure.way == row.way], console)
    for note in verdict.notes:
        say(console, f"NOTE: {note}")
    if not verdict.failures:
        say(console, "✓ every way answers alike, within the tolerance")


def _print_failures(failures: Sequence[Failure], console: Console) -> None:
    for failure in failures[:SHOWN]:
        where = f"{failure.way}, {failure.input}" if failure.input else failure.way
        say(console, f"✗ {where}: {failure.problem}", "red")
    if len(failures) > SHOWN:
        say(console, f"✗ {failures[0].way}: {len(failures) - SHOWN} more, which --json lists", "red")


def _number(value: float | None) -> str:
    """ "-": there was nothing to compare with; "other": not even a number, another label say."""
    if value is None:
        return "-"
    return "other" if value == float("inf") else f"{value:.2g}"
