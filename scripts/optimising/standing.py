"""Whether what was decided for a model still holds, before it is packed.

Nothing here imports torch unless there is a decision to look at: that takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import json

from handlers.errors import BadRecipe
from handlers.recipe import Model
from scripts.catalog import Entry

if TYPE_CHECKING:
    from handlers.runtimes.decision import Decision

Standing: TypeAlias = Literal["not needed", "none", "stale", "elsewhere", "current"]
"""stale: for other files than these; elsewhere: for another kind of processor, or other libraries."""

FOLDER = "optimised"
PLACE = f"{FOLDER}/decision.json"
"""The same as handlers.runtimes.decision has them, which needs torch."""

NOTES: dict[Standing, str] = {
    "none": "NOTE: nothing is decided on its runtime, so eager serves it: scripts/pthserve optimise {name}",
    "stale": "NOTE: its runtime was decided for other files, so eager serves it: "
    "scripts/pthserve optimise {name}",
    "elsewhere": "NOTE: its runtime was decided on another processor, or with other libraries; where that "
    "differs, eager serves it: scripts/pthserve optimise {name}",
}


def needed(model: Model) -> bool:
    """Whether something else than eager float32 may execute it."""
    return model.runtime != "eager" or model.precision != "float32"


def standing(entry: Entry) -> Standing:
    """How the decision beside the recipe stands, to these files and to this machine."""
    return _standing(current(entry), entry)


def _standing(found: Decision | None, entry: Entry) -> Standing:
    """Of what `current` found: that reads all the weights, so it is asked once."""
    if not needed(entry.recipe.handler):
        return "not needed"
    if not (entry.folder / PLACE).is_file():
        return "none"
    if found is None:
        return "stale"
    return "current" if _holds_here(found, entry) else "elsewhere"


def notes(entry: Entry) -> list[str]:
    """What there is to say of it beside an archive that is packed now."""
    found, asked = current(entry), entry.recipe.handler.precision
    told = NOTES.get(_standing(found, entry))
    noted = [told.format(name=entry.name)] if told else []
    if found is not None and asked not in found.precisions:
        noted.append(
            f"NOTE: {asked} didn't pass, {found.chosen} serves: scripts/pthserve optimise {entry.name}"
        )
    return noted


def current(entry: Entry) -> Decision | None:
    """The decision if it is of these very files, and its artifacts are the ones that were proven."""
    if not needed(entry.recipe.handler) or not (entry.folder / PLACE).is_file():
        return None
    from handlers.runtimes import decision

    try:
        found = decision.read(entry.folder)
        if found is None or not entry.weights.is_file() or decision.changed(found, entry.folder):
            return None
        return found if decision.inputs(entry.recipe.handler, entry.folder) == found.inputs else None
    except (BadRecipe, OSError):  # what can't be read proves nothing
        return None


def files(entry: Entry) -> Iterator[tuple[str, Path]]:
    """(name in the archive, file) of a current decision and its artifacts; none of any other."""
    found = current(entry)
    if found is not None:
        for name in sorted([PLACE, *(f"{FOLDER}/{one}" for one in found.files)]):
            yield name, entry.folder / name


def _holds_here(found: Decision, entry: Entry) -> bool:
    from handlers import processor
    from handlers.cores import threads
    from scripts.checking.steps.runtime import device

    here = processor.kind(device(entry.recipe))
    if found.chosen.runtime == "compile" and found.threads != threads(entry.recipe):
        return False
    return found.processor == here and all(_version(name) == one for name, one in found.libraries.items())


def otherwise(content: bytes) -> set[str]:
    """Libraries of a decision, from its file's bytes, that are here in another version, or not at all."""
    libraries = json.decode(content)["libraries"]
    return {name for name, version in libraries.items() if _version(name) != version}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
