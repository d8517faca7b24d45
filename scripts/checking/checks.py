"""All that `archive` verifies of a model, and what it can't: nothing is packed or changed.

The model is staged as `archive` stages it and tried by the same program, which then also looks for mistakes
that serve without complaint. So what fails here is what `archive` refuses.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from msgspec import structs

from handlers import recipe
from handlers.errors import Refusal
from scripts import archive
from scripts.catalog import Entry, NeedsTraining
from scripts.checking import assumed
from scripts.checking.finding import Finding
from scripts.packing import mar, rehearsal, staging
from scripts.packing.fetch import fetch
from scripts.places import Places, shown
from scripts.processes.children import Children
from scripts.processes.scratch import Scratch

FETCHED = "fetched"
"""Where weights lie that a package has and the model's folder lacks, beside what is staged."""


def check(entry: Entry, places: Places, children: Children) -> list[Finding]:
    """What was looked at and how it is, in the order of the model's way into an archive."""
    with Scratch("check-") as scratch:
        files = list(_files(entry, scratch, children))
        findings = [Finding("recipe", "pass", f"{shown(entry.folder / recipe.FILE_NAME)} is valid"), *files]
        if not entry.needs_training:
            findings += [*_version(entry, places), *_tried(entry, places, scratch, children)]
    return [*findings, *assumed.findings(entry.recipe)]


def broken(error: Refusal) -> list[Finding]:
    """The findings of a model whose recipe can't be read."""
    return [Finding("recipe", "fail", error.message, error.hint)]


def _files(entry: Entry, scratch: Path, children: Children) -> Iterator[Finding]:
    """What the recipe names and the folder lacks; weights that a package has are fetched for now."""
    if entry.needs_training:
        needed = NeedsTraining(entry)
        yield Finding("files", "fail", needed.message, needed.hint)
        return
    missing = dict(recipe.missing_files(entry.recipe, entry.folder))
    failed, told = [], f"all {len({name for _, name in entry.recipe.file_names()})} are there"
    if entry.fetchable and (name := missing.pop("handler.weights", "")):
        told = f"{told}, {name} fetched to look at it"
        try:
            fetch(structs.replace(entry, folder=scratch / FETCHED), children)
        except Refusal as error:
            failed.append(error)
    failed += [recipe.not_found(entry.folder, key, name) for key, name in missing.items()]
    yield from (Finding("files", "fail", error.message, error.hint) for error in failed)
    if not failed:
        yield Finding("files", "pass", told)


def _version(entry: Entry, places: Places) -> Iterator[Finding]:
    """Whether there is an archive of this version already, and it is of these files."""
    path = mar.path_of(entry, places)
    if not path.exists():
        yield Finding("version", "pass", f"{entry.version} isn't packed yet")
        return
    if not entry.weights.exists():
        yield Finding("version", "skip", f"the weights aren't here to compare with {shown(path)}")
        return
    try:
        notes = archive.kept(entry, path)
    except Refusal as error:
        yield Finding("version", "fail", error.message, error.hint)
    else:
        told = "; ".join(notes) or f"{shown(path)} holds these files"
        yield Finding("version", "pass", told)


def _tried(entry: Entry, places: Places, scratch: Path, children: Children) -> list[Finding]:
    try:
        stage = staging.stage(entry, scratch)
        fetched = scratch / FETCHED / entry.recipe.handler.weights
        if fetched.is_file():
            shutil.copyfile(fetched, stage / entry.recipe.handler.weights)
        staged = mar.assembled(entry, stage, scratch, children)
    except Refusal as error:
        return [Finding("archive", "fail", error.message, error.hint)]
    return rehearsal.examine(entry, staged, places, children, advised=True).findings
