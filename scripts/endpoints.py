"""Endpoints: the models that answer, as `up` prints them, each with a request that works as printed."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from msgspec import UNSET, Struct
from rich.console import Console
from rich.table import Table

from handlers.recipe import Recipe
from scripts.places import shown


class Endpoint(Struct, frozen=True):
    """A model that answers."""

    name: str
    version: str
    url: str
    recipe: Recipe
    folder: Path

    @property
    def samples(self) -> str:
        """How many samples were replayed, and whose answers they were held against."""
        samples = self.recipe.handler.samples
        recorded = sum(sample.expect is UNSET for sample in samples)
        if not samples:
            return "none"
        return f"{len(samples)} passed" + (f", {recorded} self-recorded" if recorded else "")


def print_endpoints(ready: Sequence[Endpoint], untrained: Sequence[str], console: Console) -> None:
    """The endpoints with their samples, what needs training, and a curl line for each."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("endpoint", "version", "workers", "samples", "answers"):
        table.add_column(column)
    for one in ready:
        model = one.recipe.handler
        table.add_row(one.name, one.version, str(one.recipe.workers), one.samples, model.task)
    for name in untrained:
        table.add_row(name, "", "", "", f"needs training: scripts/pthserve train {name}")
    console.print()
    console.print(table)
    console.print()
    for one in ready:
        console.print(request_line(one), soft_wrap=True, highlight=False, markup=False)
    console.print("\nserving; Ctrl-C stops", highlight=False)


def request_line(one: Endpoint) -> str:
    """A curl command that sends the model's first sample."""
    samples = one.recipe.handler.samples
    sent = shown(one.folder / samples[0].input) if samples else "FILE"
    return f"curl -T {shlex.quote(sent)} {one.url}"
