"""export: a model as a portable file with its preprocessing, a parity report and a runnable example."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct
from rich.console import Console

from scripts import catalog
from scripts.catalog import Entry
from scripts.endpoints import print_table, say
from scripts.errors import CommandError
from scripts.exporting import place, running
from scripts.exporting.parity import Parity
from scripts.exporting.targets import NAMES, TargetName, require
from scripts.packing.fetch import fetch
from scripts.places import Places, shown
from scripts.processes.children import Children

SHOWN = 10
"""Answers that differ, listed at most."""


class Asked(Struct, frozen=True):
    """What the command line says."""

    name: str
    to: str
    out: Path | None = None
    force: bool = False


def export(places: Places, asked: Asked, console: Console) -> int:
    """Write the folder and say what is in it; 1, and no folder, if answers differ. Raises Refusal."""
    target = _target(asked.to)
    entry = catalog.find(places, asked.name)
    folder = place.of(entry, target, asked.out)
    place.require_free(folder, force=asked.force)
    require(target)
    with Children() as children:
        fetch(entry, children)
        catalog.require_files(entry)
        with place.beside(folder) as partial, console.status(f"exporting {entry.name} to {target}"):
            parity = running.export(entry, target, partial, places, children)
            if not parity.passed:
                _print_difference(entry, parity, console)
                return 1
            place.put(partial, folder)
    _print_export(folder, parity, console)
    return 0


def _target(name: str) -> TargetName:
    """Raises CommandError for what is no target."""
    for one in NAMES:
        if one == name:
            return one
    raise CommandError(f"--to is {name!r}", hint=f"must be one of {', '.join(NAMES)}")


def _print_export(folder: Path, parity: Parity, console: Console) -> None:
    labels = [one.same_top1 for one in parity.compared if one.same_top1 is not None]
    agreement = f", the same best class in {sum(labels)} of {len(labels)}" if labels else ""
    largest, run = f"{parity.max_error:.1e}", shown(folder / "example.py")
    say(console, f"✓ {shown(folder)}: {', '.join(sorted(one.name for one in folder.iterdir()))}")
    say(console, f"✓ answers: {len(parity.compared)} within {largest} of eager float32's{agreement}")
    say(console, f"✓ example: python {run} answers {parity.example.input} like the model")


def _print_difference(entry: Entry, parity: Parity, console: Console) -> None:
    failed = [one for one in parity.compared if not one.passed]
    if failed:
        allowed = f"{parity.tolerance.absolute:g} + {parity.tolerance.relative:g} x |expected|"
        count = f"{len(failed)} of {len(parity.compared)} answers of {parity.target}"
        text = f"✗ {entry.name}: {count} differ from eager float32's by more than {allowed}; nothing was kept"
        say(console, text, "red")
        told = {True: "the same", False: "another", None: "-"}
        rows = [("input", "in a batch of", "differs by", "best class")]
        for one in failed[:SHOWN]:
            rows.append((one.input, str(one.batch), f"{one.max_error:.2g}", told[one.same_top1]))
        print_table(rows, console)
    if not parity.example.passed:
        printed, expected = parity.example.printed, parity.example.expected
        text = f"example.py answers {parity.example.input} with {printed}, the model with {expected}"
        say(console, f"✗ {entry.name}: {text}; nothing was kept", "red")
