"""The recipes of models/: which are whole, which need training first, which are broken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import UNSET, Struct

from handlers import recipe
from handlers.errors import BadRecipe, Refusal
from handlers.recipe import Recipe
from scripts.errors import CommandError
from scripts.places import Places, shown


class Entry(Struct, frozen=True):
    """One folder of models/ with its recipe."""

    name: str
    folder: Path
    recipe: Recipe

    @property
    def version(self) -> str:
        return self.recipe.handler.version

    @property
    def weights(self) -> Path:
        return self.folder / self.recipe.handler.weights

    @property
    def fetchable(self) -> bool:
        """Whether absent weights can be had from a package."""
        return self.recipe.handler.source is not UNSET

    @property
    def needs_training(self) -> bool:
        """Whether the weights are what the folder's own train.py has yet to write."""
        return not self.weights.exists() and not self.fetchable and (self.folder / "train.py").is_file()


class NeedsTraining(CommandError):
    """The weights are yet to be written by the folder's train.py."""

    def __init__(self, entry: Entry) -> None:
        super().__init__("needs training", hint=f"scripts/pthserve train {entry.name}")


def names(places: Places) -> list[str]:
    """Every folder of models/ that holds a recipe; a hidden one is being written."""
    found = (path.parent.name for path in places.models.glob(f"*/{recipe.FILE_NAME}"))
    return sorted(name for name in found if not name.startswith("."))


def find(places: Places, name: str) -> Entry:
    """The recipe of one folder; raises BadRecipe, or CommandError when there is no such folder."""
    folder = places.models / name
    if not (folder / recipe.FILE_NAME).is_file():
        if folder.is_dir() and name:
            raise CommandError(
                f"{shown(folder)} has no {recipe.FILE_NAME}", hint="write one, README.md shows it"
            )
        known = ", ".join(names(places)) or "none"
        raise CommandError(
            f"there is no model {name!r} in {shown(places.models)}", hint=f"there are: {known}"
        )
    found = recipe.load(folder)
    if found.handler.name != name:
        raise BadRecipe(
            f"{shown(folder / recipe.FILE_NAME)}: handler.name is {found.handler.name!r}",
            hint=f"must be {name!r}, the folder's name; rename one of them",
        )
    return Entry(name, folder, found)


def chosen(places: Places, wanted: Sequence[str]) -> tuple[list[Entry], dict[str, Refusal]]:
    """(what can be served, what can't and why) of the named models, or of all."""
    entries: list[Entry] = []
    refused: dict[str, Refusal] = {}
    for name in dict.fromkeys(wanted or names(places)):
        try:
            entry = find(places, name)
            require_files(entry)
            entries.append(entry)
        except Refusal as error:
            refused[name] = error
    return entries, refused


def untrained(refused: Mapping[str, Refusal], wanted: Sequence[str]) -> list[str]:
    """Those refused that only need training, which is no failure unless they were asked for by name."""
    return [name for name, why in refused.items() if isinstance(why, NeedsTraining) and name not in wanted]


def require_files(entry: Entry) -> None:
    """Raises NeedsTraining, or BadRecipe for a file that the recipe names and the folder lacks."""
    if entry.needs_training:
        raise NeedsTraining(entry)
    for key, name in recipe.missing_files(entry.recipe, entry.folder):
        if not (key == "handler.weights" and entry.fetchable):
            raise recipe.not_found(entry.folder, key, name)
