"""What goes into an archive, by its name in there: the recipe folder's files, what was decided on its
runtime, and a frozen handlers/."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from msgspec import UNSET

from handlers import recipe
from scripts.catalog import Entry
from scripts.optimising import standing
from scripts.places import ROOT


def model_files(entry: Entry) -> Iterator[tuple[str, Path]]:
    """(name in the archive, file): the recipe, what it names, recordings, and the folder's own modules."""
    names = {recipe.FILE_NAME, *(name for _, name in entry.recipe.file_names())}
    names |= {sample.recording for sample in entry.recipe.handler.samples if sample.expect is UNSET}
    names |= {path.relative_to(entry.folder).as_posix() for path in recipe.own_modules(entry.folder)}
    for name in sorted(names):
        if (entry.folder / name).is_file():
            yield name, entry.folder / name


def handler_files() -> Iterator[tuple[str, Path]]:
    folder = ROOT / "handlers"
    for path in sorted(folder.rglob("*.py")):
        yield path.relative_to(folder).as_posix(), path


def stage(entry: Entry, scratch: Path) -> Path:
    """A folder with everything that goes into the archive, but its manifest and seal."""
    folder = scratch / "stage"
    handlers = ((f"handlers/{name}", path) for name, path in handler_files())
    files = [*model_files(entry), *standing.files(entry), *handlers]
    for name, path in files:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return folder
