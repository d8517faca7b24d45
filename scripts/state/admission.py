"""Bringing a version up beside those that serve: asked for, waited for, and taken away again if it fails."""

from __future__ import annotations

import msgspec
from rich.console import Console

from scripts.endpoints import say
from scripts.errors import CommandError
from scripts.packing import mar
from scripts.places import Places
from scripts.state import asking, wanted
from scripts.state.observed import SeenVersion
from scripts.state.wanted import Wanted, WantedVersion

MARGIN = 60.0  # s beyond the recipe's startupTimeout: unpacking, and other models before it


class Failed(CommandError):
    """A version whose workers didn't become READY; what was there before is untouched."""


def admit(places: Places, name: str, version: str, console: Console, *, workers: int | None = None) -> None:
    """Wait until every worker of the version is READY, its samples passed in each.

    Raises Failed, with the worker's traceback printed and the version taken away, unless it was wanted
    before this command. `workers`, where it isn't the recipe's number.
    """
    recipe = mar.read_recipe(mar.path_in(places, name, version))
    first = name not in wanted.load(places).models
    ours = asking.running(places).version(name, version) is None
    count = workers if workers is not None else recipe.workers
    revision = asking.ask(places, lambda before: with_version(before, name, version, count))

    def seen() -> SeenVersion | None:
        return asking.running(places).version(name, version)

    asking.wait(
        places,
        revision,
        lambda now: (one := now.version(name, version)) is not None and _settled(one, revision),
        recipe.startup_timeout + MARGIN,
    )
    last = seen()
    if last is not None and last.state == "ready":
        return
    if ours:
        withdraw(places, name, version, first=first)
    if last is not None and last.traceback:
        say(console, last.traceback.rstrip())
    reason = last.reason if last is not None and last.reason else "its workers weren't READY in time"
    raise Failed(f"{name} {version}: {reason}", hint="nothing else has changed" if ours else "")


def with_version(before: Wanted, name: str, version: str, workers: int) -> Wanted:
    """The state with this version among the model's, and as its default if it has none."""
    model = before.model(name)
    known = model.versions.get(version)
    one = WantedVersion(known.workers if known is not None else workers, asked=before.revision)
    default = model.default if model.default in model.versions else version
    return before.having(
        name,
        msgspec.structs.replace(
            model, default=default, versions={**model.versions, version: one}, paused=False
        ),
    )


def withdraw(places: Places, name: str, version: str, *, first: bool) -> None:
    """The version isn't wanted any more, and soon not there; nor the model, if this was its `first`."""

    def edit(before: Wanted) -> Wanted:
        if first:
            return before.without(name)
        model = before.model(name)
        versions = {number: one for number, one in model.versions.items() if number != version}
        return before.having(name, msgspec.structs.replace(model, versions=versions))

    revision = asking.ask(places, edit)
    asking.wait(places, revision, lambda seen: seen.version(name, version) is None, MARGIN)


def _settled(one: SeenVersion, revision: int) -> bool:
    return one.asked >= revision and one.state in ("ready", "failed")
