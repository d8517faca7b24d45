"""What is left to its owner once models/NAME is written, in the order in which it is best done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import UNSET

from handlers.recipe import FILE_NAME, Recipe
from scripts.checking.finding import Finding
from scripts.places import shown
from scripts.recipes.text import Drafted

TOGETHER = ("assumed", "samples")
"""Findings that one step settles: a sample with the answer that training code gave."""

TEN_LINES = "let your training code write it (README.md has the ten lines)"


def left(drafted: Drafted, recipe: Recipe, folder: Path, findings: Sequence[Finding]) -> Iterator[str]:
    """A line for each step; the last one serves the model."""
    failed = [one for one in findings if one.verdict == "fail"]
    for finding in [
        *failed,
        *(one for one in findings if one.verdict == "warn" and one.what not in TOGETHER),
    ]:
        yield f"{finding.what}: {finding.detail}; {finding.remedy}"
    yield from _labels(recipe, folder)
    yield from _proof(drafted, recipe, folder)
    if failed:
        yield f"scripts/pthserve check {drafted.name}"
    yield f"scripts/pthserve up {drafted.name}"


def _labels(recipe: Recipe, folder: Path) -> Iterator[str]:
    if recipe.handler.task == "classify" and recipe.handler.output.labels is UNSET:
        yield (
            f"labels: write them, one a line in the order of training, into {shown(folder / 'labels.txt')}, "
            f"and name it under handler.output in {shown(folder / FILE_NAME)}: labels: labels.txt"
        )


def _proof(drafted: Drafted, recipe: Recipe, folder: Path) -> Iterator[str]:
    """How what is assumed becomes certain; nothing where a sample has proven all of it."""
    parts, source = recipe.handler.assumptions, drafted.network.files.get("model.py", b"")
    if parts:
        confirm = " and `confirm` in model.py" if b"# confirm" in source else ""
        yield (
            f"{' and '.join(parts)}: assumed, and nothing proves it yet; compare what says DECIDE in "
            f"{shown(folder / FILE_NAME)}{confirm} with your training code, then remove it from "
            "handler.assumed"
        )
    if not any(sample.proves_values for sample in recipe.handler.samples):
        proves = ", which proves that for good" if parts else ""
        yield f"samples: give one with `expect`{proves}: {TEN_LINES}"
