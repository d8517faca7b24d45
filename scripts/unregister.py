"""unregister: no new requests for a model, those it has accepted are answered, then it is gone."""

from __future__ import annotations

import msgspec
from rich.console import Console

from scripts.endpoints import say
from scripts.errors import CommandError
from scripts.places import Places
from scripts.state import asking, wanted
from scripts.state.wanted import Wanted


def unregister(places: Places, name: str, version: str | None, patience: float, console: Console) -> int:
    """0 once it is gone; raises CommandError when it is busy for longer than that, and then it serves on."""
    with asking.alone(places, name):
        model = wanted.load(places).model(name)
        leaving = [version] if version is not None else list(model.versions)
        if not leaving or any(one not in model.versions for one in leaving):
            there = ", ".join(model.versions) or "none"
            raise CommandError(
                f"{name}{f' {version}' if version else ''} isn't registered", hint=f"its versions: {there}"
            )
        if version == model.default and len(model.versions) > 1:
            raise CommandError(
                f"{version} is the default of {name}", hint=f"first scripts/pthserve promote {name} OTHER"
            )
        waiting = console.status(f"{name}: waiting for what it has accepted")
        with asking.taken_back(places, name), waiting:
            revision = asking.ask(places, lambda state: marked(state, name, leaving))
            if not asking.wait(
                places, revision, lambda seen: seen.versions(name).keys().isdisjoint(leaving), patience
            ):
                now = asking.running(places).versions(name)
                loads = any(now[one].state == "loading" for one in leaving if one in now)
                raise CommandError(
                    f"{name} {'is loading still' if loads else 'has requests in flight'} "
                    f"after {patience:.0f} s, and serves on",
                    hint="try again with a longer --deadline, or when less is asked of it",
                )
        asking.ask(places, lambda state: without(state, name, leaving))
        say(console, f"✓ {name}{f' {version}' if version else ''}: unregistered")
        return 0


def marked(before: Wanted, name: str, versions: list[str]) -> Wanted:
    """The state with these versions on their way out."""
    model = before.model(name)
    changed = {
        number: msgspec.structs.replace(one, leaving=True) if number in versions else one
        for number, one in model.versions.items()
    }
    return before.having(name, msgspec.structs.replace(model, versions=changed))


def without(before: Wanted, name: str, versions: list[str]) -> Wanted:
    """The state without these versions; a model without any is remembered as unregistered."""
    model = before.model(name)
    rest = {number: one for number, one in model.versions.items() if number not in versions}
    return before.having(name, msgspec.structs.replace(model, versions=rest))
