"""What is left to its owner once models/NAME is written, in the order in which it is best done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from scripts.checking.finding import Finding
from scripts.places import shown
from scripts.recipes.text import Drafted

EXPECT = "let your training code write what it answers for one (README.md has the ten lines)"


def left(drafted: Drafted, folder: Path, findings: Sequence[Finding]) -> Iterator[str]:
    """A line for each step; the last one serves the model."""
    failed = [finding for finding in findings if finding.verdict == "fail"]
    for finding in [*failed, *(one for one in findings if one.verdict == "warn")]:
        yield f"{finding.what}: {finding.detail}; {finding.remedy}"
    if drafted.samples and not any(sample.proves_values for sample in drafted.samples):
        yield f"samples: {EXPECT}, and name it as `expect` in {shown(folder / 'recipe.yaml')}"
    if failed:
        yield f"scripts/pthserve check {drafted.name}"
    yield f"scripts/pthserve up {drafted.name}"
