"""models/NAME/optimised: the decision and what it keeps, there as a whole or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from handlers.runtimes import decision
from handlers.runtimes.decision import Decision
from scripts.catalog import Entry
from scripts.places import Places
from scripts.state import durable

PREFIX = f".{decision.FOLDER}."
"""Of what is being written, or taken away; hidden, so that nothing takes it for the model's own."""


def publish(decided: Decision, built: Path, entry: Entry, places: Places) -> None:
    """Put it beside the recipe in one step; raises OSError, and what was there before is there still."""
    with durable.locked(places.state / f"optimise-{entry.name}.lock"):
        for left in entry.folder.glob(f"{PREFIX}*"):  # of a run that was killed
            shutil.rmtree(left, ignore_errors=True)
        fresh, old = (entry.folder / f"{PREFIX}{word}.{os.getpid()}" for word in ("new", "old"))
        try:
            _write(decided, built, fresh)
            _exchange(fresh, entry.folder / decision.FOLDER, old)
        finally:
            for path in (fresh, old):
                shutil.rmtree(path, ignore_errors=True)


def _write(decided: Decision, built: Path, fresh: Path) -> None:
    folder = fresh / decision.FOLDER
    folder.mkdir(parents=True)
    for name in decided.files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(built / name, folder / name)
    decision.write(decided, fresh)


def _exchange(fresh: Path, place: Path, old: Path) -> None:
    if place.exists():
        place.rename(old)
    try:
        (fresh / decision.FOLDER).rename(place)
    except OSError:
        if old.exists():
            old.rename(place)
        raise
