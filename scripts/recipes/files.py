"""The files of a new models/NAME: all of them, or nothing, and never in place of what is there."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from msgspec import UNSET

from handlers import recipe
from handlers.checkpoint import StateDict
from handlers.recipe import Sample, is_array_file
from scripts.errors import CommandError
from scripts.inspection.opened import Opened
from scripts.inspection.printable import printable
from scripts.places import Places, shown
from scripts.recipes.asked import Asked
from scripts.recipes.meaning import LABELS

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}\Z")
EXTRACTED = "weights.pth"
SAMPLES = "samples"

LONG = 400
"""Characters of a path that are shown."""


def name_of(asked: Asked) -> str:
    """What the model is called: as asked, else after the checkpoint's file; raises CommandError."""
    path = asked.weights.resolve()
    stem = path.name if path.is_dir() else Path(path.name.removesuffix(".tar")).stem
    name = asked.name or re.sub(r"[^A-Za-z0-9]+", "_", stem).strip("_")
    if not name:
        raise CommandError(
            f"{shown(asked.weights)}: no letter of its name can stand in a model's", hint="give --name"
        )
    if not NAME.match(name):
        raise CommandError(
            f"the model's name is {name!r}", hint="--name takes 1 to 100 letters, digits, '_', '.' or '-'"
        )
    return name


def free(places: Places, name: str) -> Path:
    """The folder that the model gets; raises CommandError when something is there."""
    folder = places.models / name
    if folder.exists() or folder.is_symlink():
        raise CommandError(
            f"{shown(folder)} is there already, and is not overwritten",
            hint="choose another --name, or move it away",
        )
    return folder


def weights_name(asked: Asked, opened: Opened) -> str:
    """What the weights are called in the folder: as they were, unless they are taken out of their file."""
    name = opened.path.name if asked.weights.is_dir() else asked.weights.name
    taken = {recipe.FILE_NAME, *recipe.RESERVED, LABELS, SAMPLES}
    usable = NAME.match(name) and name not in taken and not name.endswith(".py")
    return name if opened.loadable and usable else EXTRACTED


def sample_names(asked: Asked) -> dict[Path, str]:
    """Each file that samples need -> its path in the folder; raises CommandError."""
    if asked.expect and len(asked.expect) != len(asked.samples):
        raise CommandError(
            f"there are {len(asked.samples)} of --sample and {len(asked.expect)} of --expect",
            hint="give one --expect for each --sample, in the same order, or none",
        )
    arrays = [Path(expect) for expect in asked.expect if is_array_file(expect)]
    named: dict[Path, str] = {}
    for path in [*asked.samples, *arrays]:
        if not path.is_file():
            raise CommandError(f"{shown(path)} isn't there", hint="correct --sample or --expect")
        base = re.sub(r"[^A-Za-z0-9_.-]", "_", path.name).lstrip(".") or "sample"
        taken = set(named.values())
        tries = (f"{SAMPLES}/{f'{number}-' if number else ''}{base}" for number in range(len(named) + 1))
        named.setdefault(path, next(one for one in tries if one not in taken))
    return named


def samples(asked: Asked, names: Mapping[Path, str]) -> Iterator[Sample]:
    """The recipe's entries for them."""
    for path, expect in zip(asked.samples, asked.expect or [""] * len(asked.samples), strict=True):
        told = names[Path(expect)] if is_array_file(expect) else expect
        yield Sample(names[path], expect=told or UNSET)


def put_weights(target: Path, asked: Asked, opened: Opened, state: StateDict) -> str:
    """The weights in the new folder; returns how they came there: "copied", "linked", "taken out"."""
    if not opened.loadable:
        _save(state, target)
        return f"taken out of {printable(shown(asked.weights), LONG)} without running it"
    if asked.link:
        target.symlink_to(opened.path.resolve())
        return f"linked to {printable(shown(opened.path), LONG)}"
    shutil.copyfile(opened.path, target)
    return "copied"


def _save(state: StateDict, target: Path) -> None:
    """Raises OSError, as of a full disk, which torch itself hides behind an error of its own."""
    with target.open("wb") as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:
            raise error.__context__ if isinstance(error.__context__, OSError) else error from None


@contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """A folder to fill, which gets its name when the block ends well, and is removed when it doesn't."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield partial
        partial.chmod(0o755)
        os.rename(partial, folder)  # noqa: PTH104  # pathlib's own would do the same; fails if it is there
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def put(folder: Path, files: Mapping[str, bytes], copies: Mapping[Path, str]) -> None:
    """Texts and copied files at their relative paths."""
    for name, content in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    for source, name in copies.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
