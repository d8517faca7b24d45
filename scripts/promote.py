"""promote: the endpoint's default becomes a new version; rollback: the one before again, the same way."""

from __future__ import annotations

import msgspec
from rich.console import Console

from scripts.endpoints import say
from scripts.errors import CommandError
from scripts.packing import mar
from scripts.places import Places, shown
from scripts.register import archived
from scripts.serving import views
from scripts.state import admission, asking, wanted
from scripts.state.observed import Observed
from scripts.state.wanted import Wanted, WantedModel

KEPT = 3
"""Archives of former defaults that stay in the store, for `rollback`."""

MARGIN = 30.0  # s beyond the old version's deadline: what is in flight is answered by then


def promote(places: Places, name: str, version: str | None, console: Console) -> int:
    """0 once callers get the new version and the old one has gone; raises Refusal, and nothing changed."""
    if version is None or not mar.path_in(places, name, version).is_file():
        _, packed = archived(places, name, console)
        if version not in (None, packed):
            raise CommandError(
                f"{shown(mar.path_in(places, name, version or ''))} isn't there",
                hint=f"the recipe's version is {packed}; name that one, or none",
            )
        version = packed
    return move(places, name, version, console)


def rollback(places: Places, name: str, console: Console) -> int:
    """The version before, again; raises CommandError when there is none."""
    model = wanted.load(places).model(name)
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
    return move(places, name, version, console)


def move(places: Places, name: str, version: str, console: Console) -> int:
    """Bring the version up, lead callers to it, and see the others off."""
    with asking.alone(places, name):
        before = asking.running(places).models.get(name)
        if before is not None and before.default == version:
            say(console, f"{name} {version} is the default already")
            return 0
        with console.status(f"starting {name} {version}"):
            admission.admit(places, name, version, console, workers=_scaled(places, name))
        revision = asking.ask(places, lambda state: moved(state, name, version))
        old = before.default if before is not None else ""
        patience = MARGIN + _deadline(places, name, old)
        with console.status(f"{name}: waiting for what the old version has accepted"):
            gone = asking.wait(places, revision, lambda seen: _moved(seen, name, old, version), patience)
        if not gone:
            default = asking.running(places).models[name].default
            if default != version:
                raise CommandError(f"{name}: {default} still answers", hint="see scripts/pthserve status")
            say(
                console,
                f"{name}: the old version has requests in flight still, and leaves after them",
                "yellow",
            )
        say(console, f"✓ {name} {version}: the default")
        for path in _prune(places, name):
            say(console, f"removed {path}: the last {KEPT} former versions are kept")
        return 0


def moved(before: Wanted, name: str, version: str) -> Wanted:
    """The state with this version as the default; what was it before isn't wanted, but remembered."""
    model = before.model(name)
    former = (model.default, *model.previous) if model.default != version else model.previous
    if model.previous[:1] == (version,):  # going back: the version that is left isn't where to go back to
        former = model.previous[1:]
    kept = tuple(dict.fromkeys(one for one in former if one and one != version))
    versions = {number: one for number, one in model.versions.items() if number != model.default}
    return before.having(
        name, WantedModel(version, {**versions, version: model.versions[version]}, kept, paused=False)
    )


def _scaled(places: Places, name: str) -> int | None:
    """How many workers somebody gave the default; None where it is as its recipe has it."""
    model = wanted.load(places).model(name)
    path = mar.path_in(places, name, model.default)
    now = model.versions.get(model.default)
    if now is None or not path.is_file() or mar.read_recipe(path).workers == now.workers:
        return None
    return now.workers


def _moved(seen: Observed, name: str, old: str, new: str) -> bool:
    model = seen.models.get(name)
    return model is not None and model.default == new and old not in model.versions


def _deadline(places: Places, name: str, version: str) -> float:
    path = mar.path_in(places, name, version)
    return views.deadline(mar.read_recipe(path)) if path.exists() else 0.0


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
