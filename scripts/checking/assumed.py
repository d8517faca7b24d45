"""What of a recipe was drafted and nothing proves yet, said as a finding, a note and a word in a table."""

from __future__ import annotations

from collections.abc import Mapping

from handlers.recipe import Recipe
from scripts.checking.finding import Finding

_COMPARE = "compare it with training, then remove it from handler.assumed, or give a sample with"
CONFIRM: Mapping[str, str] = {
    "architecture": f"{_COMPARE} `expect` (raw outputs or values)",
    "input": f"{_COMPARE} `expect` (raw outputs or values)",
    "output": f"{_COMPARE} its `label`, or final values as `expect`",
}
"""What makes a fact of each assumption."""


def findings(recipe: Recipe) -> list[Finding]:
    """A warning for each assumption that no sample proves."""
    return [
        Finding("assumed", "warn", f"handler.{key} is assumed", CONFIRM[key])
        for key in recipe.handler.assumptions
    ]


def notes(recipe: Recipe) -> list[str]:
    """The same as notes beside what `archive` did."""
    return [f"NOTE: {finding.detail}: {finding.remedy}" for finding in findings(recipe)]


def words(assumptions: tuple[str, ...]) -> str:
    """For a table: "input, output", or "-"."""
    return ", ".join(assumptions) or "-"
