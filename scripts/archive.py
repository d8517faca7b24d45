"""archive: check a model as a worker would, and pack it into model_store/NAME-VERSION.mar."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import UNSET, Struct
from rich.console import Console

from handlers.errors import Refusal, listed
from scripts import catalog
from scripts.catalog import Entry, require_files
from scripts.checking import assumed
from scripts.endpoints import say
from scripts.errors import CommandError
from scripts.optimising import standing
from scripts.packing import mar
from scripts.packing.fetch import fetch
from scripts.places import Places, shown
from scripts.processes.children import Children


class Outcome(Struct, frozen=True):
    """The archive of a model, and what was done or noticed on the way."""

    path: Path
    notes: list[str]
    unchanged: bool = False
    """Whether it was there already, and would be packed alike today."""


def archive(entry: Entry, places: Places, children: Children) -> Outcome:
    """The model's archive, packed now if it isn't there; raises Refusal.

    Changed content under a version that exists is refused. An archive that was packed with other
    handlers or libraries stays as it is: it brings its own handlers, and its samples are replayed.
    """
    notes = [f"fetched {shown(entry.weights)}"] if fetch(entry, children) else []
    require_files(entry)
    path = mar.path_of(entry, places)
    if path.exists():
        told = kept(entry, path)
        return Outcome(path, [*notes, *told, *assumed.notes(entry.recipe)], unchanged=not told)
    recorded = mar.pack(entry, places, children)
    notes += [f"recorded {shown(entry.folder / name)}: look at it, then commit it" for name in recorded]
    return Outcome(path, [*notes, f"packed {shown(path)}", *_unproven(entry)])


def _unproven(entry: Entry) -> list[str]:
    """What the recipe leaves open, which nothing can check."""
    model = entry.recipe.handler
    notes = []
    if not model.samples:
        notes.append("NOTE: no sample proves its answers")
    if model.task == "classify" and model.output.labels is UNSET:
        notes.append("NOTE: without handler.output.labels, classes are called by their index")
    return [*notes, *standing.notes(entry), *assumed.notes(entry.recipe)]


def kept(entry: Entry, path: Path) -> list[str]:
    """What there is to say of an archive that stays; raises CommandError if the folder has changed."""
    changed = mar.differences(entry, path)
    if changed:
        raise CommandError(
            f"{listed(changed, 5)} changed since {shown(path)} was packed, and an archive is never changed",
            hint=f"raise handler.version in {shown(entry.folder / 'recipe.yaml')} above {entry.version!r}, "
            "or remove the archive if it never served anyone",
        )
    code = mar.code_differences(path)
    if code:
        return [
            f"{shown(path)} is kept as it was packed, with other {listed(code, 3)}: "
            "raise handler.version to pack it anew"
        ]
    return []


def archive_all(places: Places, wanted: Sequence[str], console: Console) -> int:
    """Pack the named models, or all; exit status 1 if any was refused, and the others are packed."""
    entries, refused = catalog.chosen(places, wanted)
    with Children() as children:
        for entry in entries:
            try:
                with console.status(f"packing {entry.name}"):
                    outcome = archive(entry, places, children)
            except Refusal as error:
                refused[entry.name] = error
                continue
            unchanged = [f"{shown(outcome.path)} is there already, unchanged"] if outcome.unchanged else []
            say(console, f"✓ {entry.name}: {'; '.join([*unchanged, *outcome.notes])}")
    for name, reason in refused.items():
        say(console, f"✗ {name}: {reason}", "red")
    return 1 if len(refused) > len(catalog.untrained(refused, wanted)) else 0
