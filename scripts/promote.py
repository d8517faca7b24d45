"""promote: the endpoint's default becomes a new version; rollback: the one before again, the same way."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from rich.console import Console

from scripts import canary, versions
from scripts.endpoints import say
from scripts.errors import CommandError
from scripts.packing import mar
from scripts.places import Places, shown
from scripts.state import admission, asking, mirrors, wanted
from scripts.state.observed import Observed
from scripts.state.wanted import Wanted, WantedModel

KEPT = 3
"""Archives of former defaults that stay in the store, for `rollback`."""


def promote(places: Places, name: str, version: str | None, console: Console) -> int:
    """0 once callers get the new version and the old one has gone; raises Refusal, and nothing changed."""
    asking.running(places)  # says so before minutes of packing, if none runs
    version = versions.at_hand(places, name, canary.meant(places, name, version), console)
    return move(places, name, version, console)


def rollback(places: Places, name: str, console: Console) -> int:
    """The version before, again; or the default alone, where it has a canary beside it.

    Raises CommandError when there is none.
    """
    model = wanted.load(places).model(name)
    if model.canary is not None:
        return canary.end(places, name, console)
    if not model.previous:
        raise CommandError(
            f"{name} has no former version here", hint=f"scripts/pthserve promote {name} VERSION"
        )
    version = model.previous[0]
    if not mar.path_in(places, name, version).is_file():
        raise CommandError(
            f"{shown(mar.path_in(places, name, version))} isn't there any more",
            hint=f"scripts/pthserve promote {name} VERSION, with a version whose archive is",
        )
    versions.tell_assumed(places, name, version, console)
    return move(places, name, version, console)


def move(places: Places, name: str, version: str, console: Console) -> int:
    """Bring the version up, lead callers to it, and see the others off."""
    with asking.alone(places, name):
        before = asking.running(places).models.get(name)
        old = before.default if before is not None else ""
        model = wanted.load(places).model(name)
        beside = model.canary.version if model.canary is not None else ""
        if old == version == model.default and not beside:
            say(console, f"{name} {version} is the default already")
            return 0
        with asking.taken_back(places, name, trying=version if version != beside else ""):
            with console.status(f"starting {name} {version}"):
                admission.admit(places, name, version, console, workers=_scaled(places, name))
            with console.status(f"{name}: waiting for what the old version has accepted"):
                gone = _lead(places, name, {old, beside} - {"", version}, version)
        if not gone:
            say(
                console,
                f"{name}: the old version has requests in flight still, and leaves after them",
                "yellow",
            )
        say(console, f"✓ {name} {version}: the default")
        for path in _prune(places, name):
            say(console, f"removed {path}: the last {KEPT} former versions are kept")
        return 0


def _lead(places: Places, name: str, old: Collection[str], new: str) -> bool:
    """Lead callers to the new version; whether the old ones have gone.

    Raises CommandError if they can't be led.
    """
    revision = asking.ask(places, lambda state: moved(state, name, new))

    def led(seen: Observed) -> bool:
        model = seen.models.get(name)
        return model is not None and model.default == new and model.canary is None

    def gone(seen: Observed) -> bool:
        return led(seen) and seen.versions(name).keys().isdisjoint(old)

    if asking.wait(places, revision, gone, versions.patience(places, name, old)):
        return True
    if asking.wait(places, revision, led, asking.POLL):
        return False
    raise CommandError(f"{name}: callers couldn't be led to {new}", hint="see scripts/pthserve status")


def moved(before: Wanted, name: str, version: str) -> Wanted:
    """The state with this version as the default; what was it before isn't wanted, but remembered.

    Nor is what was its canary, or is only being compared with it.
    """
    model = mirrors.ended(before.model(name), but=version)
    former = (model.default, *model.previous) if model.default != version else model.previous
    if model.previous[:1] == (version,):  # going back: the version that is left isn't where to go back to
        former = model.previous[1:]
    kept = tuple(dict.fromkeys(one for one in former if one and one != version))
    left = {model.default, model.canary.version if model.canary is not None else ""}
    others = {number: one for number, one in model.versions.items() if number not in left}
    return before.having(
        name, WantedModel(version, {**others, version: model.versions[version]}, kept, paused=False)
    )


def _scaled(places: Places, name: str) -> int | None:
    """How many workers somebody gave the default; None where it is as its recipe has it."""
    model = wanted.load(places).model(name)
    now, recipe = model.versions.get(model.default), versions.recipe(places, name, model.default)
    if now is None or recipe is None or recipe.workers == now.workers:
        return None
    return now.workers


def _prune(places: Places, name: str) -> list[str]:
    """Forget former versions beyond the last few, and remove their archives; what was removed."""
    model = wanted.load(places).model(name)
    surplus = model.previous[KEPT:]
    if not surplus:
        return []

    def edit(before: Wanted) -> Wanted:
        model = before.model(name)
        return before.having(name, msgspec.structs.replace(model, previous=model.previous[:KEPT]))

    asking.ask(places, edit)
    removed = []
    for version in set(surplus) - model.versions.keys():
        path = mar.path_in(places, name, version)
        if path.exists():
            path.unlink()
            removed.append(shown(path))
    return removed
