"""scale: another number of workers for an endpoint, now and after every restart."""

from __future__ import annotations

import msgspec
from rich.console import Console

from scripts.endpoints import say
from scripts.errors import CommandError
from scripts.packing import mar
from scripts.places import Places, shown
from scripts.state import admission, asking, wanted
from scripts.state.observed import Observed
from scripts.state.wanted import Wanted


def scale(places: Places, name: str, workers: int, patience: float, console: Console) -> int:
    """0 once so many are READY; raises CommandError, and then it is as it was before.

    Fewer only while the model is idle: TorchServe would end a busy worker and run its job again.
    """
    with asking.alone(places, name):
        seen = asking.running(places).models.get(name)
        if seen is None or not seen.default:
            raise CommandError(f"{name} isn't registered", hint=f"scripts/pthserve register {name}")
        version = seen.default
        asked = wanted.load(places).model(name).versions.get(version)
        if asked is None:
            raise CommandError(f"{name} {version} is on its way out", hint="wait for the version after it")
        before = asked.workers
        if before == workers:
            say(console, f"{name} {version} has {workers} workers already")
            return 0
        if workers > before:
            patience = mar.read_recipe(mar.path_in(places, name, version)).startup_timeout + admission.MARGIN
        with asking.taken_back(places, name), console.status(f"{name}: from {before} to {workers} workers"):
            revision = asking.ask(places, lambda state: scaled(state, name, version, workers))
            if not asking.wait(places, revision, lambda now: _has(now, name, version, workers), patience):
                raise _refusal(places, f"{name} {version}", before, workers, patience)
        say(console, f"✓ {name} {version}: {workers} workers READY")
        return 0


def _refusal(places: Places, who: str, before: int, workers: int, patience: float) -> CommandError:
    if workers < before:
        why, hint = "it was never idle", "try when less is asked of it"
    else:
        why, hint = "they didn't become READY", f"see {shown(places.logs / 'torchserve.log')}"
    return CommandError(f"{who}: after {patience:.0f} s {why}; it keeps its {before}", hint=hint)


def scaled(before: Wanted, name: str, version: str, workers: int) -> Wanted:
    model = before.model(name)
    one = msgspec.structs.replace(model.versions[version], workers=workers)
    return before.having(name, msgspec.structs.replace(model, versions={**model.versions, version: one}))


def _has(seen: Observed, name: str, version: str, workers: int) -> bool:
    one = seen.version(name, version)
    return one is not None and one.whole and one.ready == one.wanted == workers
