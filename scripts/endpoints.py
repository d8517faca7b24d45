"""Endpoints: the models that answer, as `up` prints them, each with a request that works as printed."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from msgspec import UNSET, Struct
from rich.console import Console

from scripts.catalog import Entry
from scripts.places import shown


class Endpoint(Struct, frozen=True):
    """A model that answers."""

    entry: Entry
    url: str

    @property
    def samples(self) -> str:
        """How many samples were replayed, and whose answers they were held against."""
        samples = self.entry.recipe.handler.samples
        recorded = sum(sample.expect is UNSET for sample in samples)
        if not samples:
            return "none"
        return f"{len(samples)} passed" + (f" ({recorded} self-recorded)" if recorded else "")


def print_endpoints(ready: Sequence[Endpoint], untrained: Sequence[str], console: Console) -> None:
    """The endpoints with their samples, what needs training, and a curl line for each."""
    rows = [("endpoint", "version", "workers", "samples", "answers")]
    for one in ready:
        entry, recipe = one.entry, one.entry.recipe
        rows.append((entry.name, entry.version, str(recipe.workers), one.samples, recipe.handler.task))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    say(console, "")
    for row in rows:
        say(console, "  ".join(map(str.ljust, row, widths)).rstrip(), "bold" if row is rows[0] else None)
    for name in untrained:
        say(console, f"{name} needs training: scripts/pthserve train {name}")
    say(console, "")
    for one in ready:
        say(console, request_line(one))
    say(console, "\nserving; Ctrl-C stops")


def say(console: Console, text: str, style: str | None = None) -> None:
    """A line as it is, however long: nothing in it is markup."""
    console.print(text, style=style, soft_wrap=True, highlight=False, markup=False)


def request_line(one: Endpoint) -> str:
    """A curl command that sends the model's first sample."""
    samples = one.entry.recipe.handler.samples
    sent = shown(one.entry.folder / samples[0].input) if samples else "FILE"
    return f"curl -T {shlex.quote(sent)} {one.url}"
