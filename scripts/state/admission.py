"""Bringing a version up beside those that serve: asked for, and waited for."""

from __future__ import annotations

import msgspec
from rich.console import Console

from scripts.endpoints import say
from scripts.errors import CommandError
from scripts.packing import mar
from scripts.places import Places
from scripts.state import asking, mirrors, wanted
from scripts.state.observed import Observed
from scripts.state.wanted import Wanted, WantedVersion

MARGIN = 60.0  # s beyond the recipe's startupTimeout: unpacking, and other models before it


class Failed(CommandError):
    """A version whose workers didn't become READY; what was there before is untouched."""


def admit(places: Places, name: str, version: str, console: Console, *, workers: int | None = None) -> None:
    """Wait until every worker of the version is READY, its samples passed in each.

    Within `asking.taken_back`. Raises Failed, with the worker's traceback printed. `workers`, where it is
    neither the recipe's number nor what the version has already.
    """
    recipe = mar.read_recipe(mar.path_in(places, name, version))
    known = wanted.load(places).model(name).versions.get(version)
    count = workers or (known.workers if known is not None else recipe.workers)
    revision = asking.ask(places, lambda before: with_version(before, name, version, count))

    def settled(seen: Observed) -> bool:
        one = seen.version(name, version)
        return one is not None and one.asked >= revision and (one.state == "failed" or one.whole)

    in_time = asking.wait(places, revision, settled, recipe.startup_timeout + MARGIN)
    last = asking.running(places).version(name, version)
    if in_time and last is not None and last.state != "failed":
        return
    if last is not None and last.traceback:
        say(console, last.traceback.rstrip())
    reason = last.reason if last is not None and last.reason else "its workers weren't READY in time"
    raise Failed(f"{name} {version}: {reason}", hint="nothing else has changed")


def with_version(before: Wanted, name: str, version: str, workers: int) -> Wanted:
    """The state with this version among the model's for itself, and as its default if it has none."""
    before = mirrors.keeping(before, name, version)
    model = before.model(name)
    one = WantedVersion(workers, asked=before.revision)
    default = model.default if model.default in model.versions else version
    return before.having(
        name,
        msgspec.structs.replace(
            model, default=default, versions={**model.versions, version: one}, paused=False
        ),
    )
