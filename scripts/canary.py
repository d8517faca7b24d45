"""promote --canary: a version beside the default answers a share of those who name none."""

from __future__ import annotations

import msgspec
from rich.console import Console

from handlers.errors import Refusal
from scripts import catalog, versions
from scripts.endpoints import say
from scripts.errors import CommandError
from scripts.places import Places
from scripts.state import admission, asking, mirrors, wanted
from scripts.state.observed import Observed, SeenShare
from scripts.state.wanted import Wanted, WantedCanary, WantedModel


def promote_canary(places: Places, name: str, version: str | None, percent: float, console: Console) -> int:
    """0 once that share of callers gets the version; raises Refusal, and nothing changed."""
    with_gateway(places, name)  # says so before minutes of packing, if there is none
    version = versions.at_hand(places, name, meant(places, name, version), console)
    with asking.alone(places, name):
        _check(places, name, version)
        model = wanted.load(places).model(name)
        trying = version if model.canary is None else ""
        with asking.taken_back(places, name, trying=trying):
            bring_up(places, name, version, console)
            revision = asking.ask(places, lambda state: shared(state, name, version, percent))
            share = SeenShare(version, percent)

            def led(seen: Observed) -> bool:
                found = seen.models.get(name)
                return found is not None and found.canary == share

            if not asking.wait(places, revision, led, versions.MARGIN):
                raise CommandError(
                    f"{name}: callers couldn't be led to {version}", hint="see scripts/pthserve status"
                )
        say(console, f"✓ {name}: canary {share}; {model.default} answers the others who name no version")
        say(
            console,
            f"scripts/pthserve promote {name} {version} makes it the default, "
            f"scripts/pthserve rollback {name} ends it",
        )
        return 0


def meant(places: Places, name: str, version: str | None) -> str | None:
    """The version: where none is named the canary, or None for the recipe's.

    Raises CommandError where that could be either.
    """
    running = wanted.load(places).model(name).canary
    if version is not None or running is None:
        return version
    try:
        found = catalog.find(places, name).version
    except Refusal:
        return running.version
    if found == running.version:
        return found
    raise CommandError(
        f"{name} has the canary {running.version}, and its recipe is version {found}",
        hint=f"name the one that you mean: scripts/pthserve promote {name} {running.version}",
    )


def with_gateway(places: Places, name: str) -> Observed:
    """What is seen of an endpoint whose requests can be shared out; raises CommandError if they can't."""
    seen = asking.running(places)
    if not seen.gateway:
        raise CommandError(
            "there is no gateway, which would share the requests out", hint="see scripts/pthserve status"
        )
    model = seen.models.get(name)
    if model is None or not model.default:
        raise CommandError(f"{name} isn't registered", hint=f"scripts/pthserve register {name}")
    return seen


def bring_up(places: Places, name: str, version: str, console: Console) -> None:
    """READY beside the default, unless it is already; raises admission.Failed."""
    seen = asking.running(places).version(name, version)
    asked = mirrors.living(wanted.load(places)).model(name)
    if asked.stays(version) and seen is not None and seen.whole:
        return
    with console.status(f"starting {name} {version}"):
        admission.admit(places, name, version, console)


def _check(places: Places, name: str, version: str) -> None:
    """Raises CommandError where the version can't be the canary."""
    with_gateway(places, name)
    model = wanted.load(places).model(name)
    if version == model.default:
        raise CommandError(
            f"{version} is the default of {name}",
            hint="raise handler.version in its recipe, or name another version",
        )
    if model.canary is not None and model.canary.version != version:
        raise CommandError(
            f"{name} has a canary: {model.canary.version}, {model.canary.percent:g}%",
            hint=f"first scripts/pthserve rollback {name}, which ends it",
        )


def shared(before: Wanted, name: str, version: str, percent: float) -> Wanted:
    """The state with that share for the version."""
    canary = WantedCanary(version, percent)
    return before.having(name, msgspec.structs.replace(before.model(name), canary=canary))


def end(places: Places, name: str, console: Console) -> int:
    """0 once the default answers alone; what the canary has accepted is answered."""
    with asking.alone(places, name):
        model = wanted.load(places).model(name)
        if model.canary is None:
            raise CommandError(f"{name} has no canary any more", hint="see scripts/pthserve status")
        version = model.canary.version
        waiting = console.status(f"{name}: waiting for what {version} has accepted")
        with asking.taken_back(places, name), waiting:
            revision = asking.ask(places, lambda state: ended(state, name))
            gone = versions.gone(places, name, revision, [version])
        if not gone:
            say(
                console,
                f"{name}: {version} has requests in flight still, and leaves after them",
                "yellow",
            )
        say(console, f"✓ {name} {model.default}: the default, and {version} no canary any more")
        return 0


def ended(before: Wanted, name: str) -> Wanted:
    """The state without the model's canary, whose version isn't wanted any more."""
    return before.having(name, _without(before.model(name)))


def _without(model: WantedModel) -> WantedModel:
    left = model.canary.version if model.canary is not None else ""
    rest = {number: one for number, one in model.versions.items() if number != left}
    return msgspec.structs.replace(model, versions=rest, canary=None)
