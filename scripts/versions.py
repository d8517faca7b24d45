"""A version of a model that a command is about: its archive, its recipe, and waiting until it has gone."""

from __future__ import annotations

from collections.abc import Collection

from rich.console import Console

from handlers.errors import Refusal
from handlers.recipe import Recipe
from scripts.checking import assumed
from scripts.endpoints import say
from scripts.errors import CommandError
from scripts.packing import mar
from scripts.places import Places, shown
from scripts.register import archived
from scripts.serving import views
from scripts.state import asking

MARGIN = 30.0  # s beyond the old version's deadline: what is in flight is answered by then


def at_hand(places: Places, name: str, version: str | None, console: Console) -> str:
    """The version, its archive in the store: the recipe's, packed if need be, where none is named.

    Raises Refusal, which is CommandError where another is named that isn't there.
    """
    if version is not None and mar.path_in(places, name, version).is_file():
        tell_assumed(places, name, version, console)
        return version
    _, packed = archived(places, name, console)
    if version not in (None, packed):
        raise CommandError(
            f"{shown(mar.path_in(places, name, version or ''))} isn't there",
            hint=f"the recipe's version is {packed}; name that one, or none",
        )
    return packed


def tell_assumed(places: Places, name: str, version: str, console: Console) -> None:
    """What of an archive that is there already nothing proves; packing one tells it by itself."""
    found = recipe(places, name, version)
    for note in assumed.notes(found) if found is not None else ():
        say(console, f"{name}: {note}")


def recipe(places: Places, name: str, version: str) -> Recipe | None:
    """Of a version that is to be left: None where its archive is gone or damaged, which mustn't hinder it."""
    try:
        return mar.read_recipe(mar.path_in(places, name, version))
    except Refusal:
        return None


def patience(places: Places, name: str, versions: Collection[str]) -> float:
    """Seconds after which what these versions have accepted is answered."""
    recipes = (recipe(places, name, one) for one in versions)
    return MARGIN + max((views.deadline(one) for one in recipes if one is not None), default=0.0)


def gone(places: Places, name: str, revision: int, versions: Collection[str]) -> bool:
    """Whether these versions go in time, once the supervisor knows the revision."""
    return asking.wait(
        places,
        revision,
        lambda seen: seen.versions(name).keys().isdisjoint(versions),
        patience(places, name, versions),
    )
