"""A copy of a model's folder with another recipe: what is measured never changes what lies in models/."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from handlers import recipe
from handlers.runtimes import decision
from scripts.catalog import Entry

Changes = Mapping[str, Any]
"""Keys of the recipe as they stand in the file; `handler` holds those of the handler."""


def make(entry: Entry, models: Path, changes: Changes, *, decided: bool = True) -> Entry:
    """The copy below `models`, under its own name; without `decided`, without its runtimes' artifacts.

    Raises BadRecipe for a key or a value that a recipe can't have.
    """
    folder = models / entry.name
    ignored = () if decided else (decision.FOLDER,)
    shutil.copytree(entry.folder, folder, ignore=shutil.ignore_patterns("__pycache__", *ignored))
    path = folder / recipe.FILE_NAME
    written: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    handler = {**written["handler"], **changes.get("handler", {})}
    merged = {**written, **changes, "handler": handler}
    path.write_text(yaml.safe_dump(merged, sort_keys=False), encoding="utf-8")
    return Entry(entry.name, folder, recipe.load(folder))
