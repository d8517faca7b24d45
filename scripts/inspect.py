"""inspect: what a checkpoint is and holds, whether it is safe and well, and which architecture fits."""

from __future__ import annotations

import json
import shlex
from itertools import count
from pathlib import Path

import msgspec
from msgspec import Struct
from rich.console import Console

from handlers.errors import BadCheckpoint
from scripts.errors import CommandError
from scripts.inspection import fitting
from scripts.inspection.fitting import Architecture
from scripts.inspection.opened import Opened
from scripts.inspection.opening import open_checkpoint
from scripts.inspection.printable import printable
from scripts.inspection.printing import print_report
from scripts.inspection.report import choose, report
from scripts.inspection.weights import Weights, choices
from scripts.places import Places, shown
from scripts.recipes import asked as recipes
from scripts.recipes import files

LONG = 1000
"""Characters of an error about a file."""


class Asked(Struct, frozen=True):
    """What the command line says, beside the file."""

    key: str | None = None
    every: bool = False
    as_json: bool = False
    architecture: bool = True


def inspect(places: Places, path: Path, asked: Asked, console: Console) -> int:
    """Print the report; raises BadCheckpoint for what is no checkpoint, in one printable line."""
    try:
        opened = open_checkpoint(path)
        chosen = choose(opened, asked.key)
    except BadCheckpoint as refused:
        raise BadCheckpoint(printable(refused.message, LONG), hint=printable(refused.hint, LONG)) from None
    found = fitting.architecture(chosen) if _wanted(opened, asked) else None
    told = report(opened, chosen, found, following(places, path, opened, chosen, found))
    if asked.as_json:
        print(json.dumps(msgspec.to_builtins(told)))  # in ASCII: nothing in a name steers a terminal
    else:
        print_report(told, console, every=asked.every)
    return 0


def _wanted(opened: Opened, asked: Asked) -> bool:
    """Whether to look for an architecture; TorchScript has its own."""
    return asked.architecture and opened.format != "TorchScript"


def following(places: Places, path: Path, opened: Opened, chosen: Weights, found: Architecture | None) -> str:
    """The `init` that takes it further; "" where it would be refused."""
    rivals = found.rivals if found else ()
    if rivals and not rivals[0].servable:
        return ""
    words = ["scripts/pthserve", "init", shown(path), "--name", _free_name(places, path)]
    if chosen.key is not None and len(choices(opened)) > 1:
        words += ["--key", chosen.key]
    if len(rivals) > 1:
        words += ["--architecture", rivals[0].builder]
    return printable(shlex.join(words), LONG)


def _free_name(places: Places, path: Path) -> str:
    """The file's own name, with a number behind it where there is such a model already."""
    try:
        name = files.name_of(recipes.Asked(path))
    except CommandError:
        name = "model"
    tries = (name if number == 1 else f"{name}_{number}" for number in count(1))
    return next(one for one in tries if not (places.models / one).exists())
