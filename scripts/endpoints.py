"""Endpoints: the models that answer, as `up` prints them, each with a request that works as printed."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from msgspec import UNSET, Struct
from rich.console import Console

from handlers.recipe import Recipe
from scripts.checking import assumed
from scripts.places import shown


class Endpoint(Struct, frozen=True):
    """A model that answers."""

    recipe: Recipe
    workers: int
    folder: Path
    """Where its recipe lies, if it has one here."""
    url: str
    options: str = ""
    """Of curl, for a gateway that asks for a key, or speaks TLS."""

    @property
    def name(self) -> str:
        return self.recipe.handler.name


def samples(recipe: Recipe) -> str:
    """How many samples were replayed, and whose answers they were held against."""
    declared = recipe.handler.samples
    recorded = sum(sample.expect is UNSET for sample in declared)
    if not declared:
        return "none"
    return f"{len(declared)} passed" + (f" ({recorded} self-recorded)" if recorded else "")


def print_endpoints(
    ready: Sequence[Endpoint], untrained: Sequence[str], console: Console, *, page: str = ""
) -> None:
    """The endpoints with their samples, what needs training, a curl line for each, and their page."""
    rows = [("endpoint", "version", "workers", "samples", "assumed", "answers")]
    for one in ready:
        model, proof = one.recipe.handler, samples(one.recipe)
        unproven = assumed.words(tuple(model.assumptions))
        rows.append((model.name, model.version, str(one.workers), proof, unproven, model.task))
    say(console, "")
    print_table(rows, console)
    for name in untrained:
        say(console, f"{name} needs training: scripts/pthserve train {name}")
    say(console, "")
    for one in ready:
        say(console, request_line(one))
    if page:
        say(console, f"\n{page} shows them, and lets you try them")
    say(console, "\nserving; Ctrl-C stops")


def print_table(rows: Sequence[Sequence[str]], console: Console) -> None:
    """Aligned columns, the first row as their heading; lines are as long as they have to be."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for index, row in enumerate(rows):
        say(console, "  ".join(map(str.ljust, row, widths)).rstrip(), None if index else "bold")


def say(console: Console, text: str, style: str | None = None) -> None:
    """A line as it is, however long: nothing in it is markup."""
    console.print(text, style=style, soft_wrap=True, highlight=False, markup=False)


def request_line(one: Endpoint) -> str:
    """A curl command that sends the model's first sample."""
    declared = one.recipe.handler.samples
    sample = one.folder / declared[0].input if declared else None
    sent = shown(sample) if sample is not None and sample.is_file() else "FILE"
    return " ".join(filter(None, ("curl", one.options, "-T", shlex.quote(sent), one.url)))
