"""shadow: a candidate answers copies of what callers ask the default, and nobody but us sees its answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct
from rich.console import Console

from handlers.recipe import Tolerance
from scripts import canary, config, versions
from scripts.endpoints import say
from scripts.errors import CommandError
from scripts.places import Places, shown
from scripts.processes import signals
from scripts.processes.scratch import Scratch
from scripts.serving import views
from scripts.shadowing import report
from scripts.shadowing.collector import Collector
from scripts.shadowing.comparing import Comparing
from scripts.shadowing.kept import Kept
from scripts.shadowing.passes import Passes, Versions
from scripts.shadowing.report import Report
from scripts.shadowing.watching import watch
from scripts.state import asking, durable, mirrors, wanted
from scripts.state.observed import Observed, SeenShare
from scripts.state.wanted import Wanted, WantedMirror


class Asked(Struct, frozen=True):
    """How much is looked at, and what stays of it."""

    share: float
    seconds: float | None = None
    requests: int | None = None
    report: Path | None = None
    keep: int = 20


def shadow(places: Places, name: str, version: str, asked: Asked, console: Console) -> int:
    """0 once it has ended, however often answers differ; 1 where it broke off, and has told so.

    Raises Refusal, and nothing changed.
    """
    canary.with_gateway(places, name)  # says so before minutes of packing, if there is none
    settings = config.load(places.config)
    version = versions.at_hand(places, name, version, console)
    file, kept = _files(places, name, version, asked)
    with Scratch("shadow-") as folder:
        socket = folder / "socket"
        collector = Collector(socket, settings.gateway_limit)
        collector.start()
        try:
            with _mirrored(places, name, WantedMirror(version, asked.share, str(socket)), console) as pair:
                found = _look(places, pair, asked, collector, settings.inference.url, kept, console)
            durable.replace(file, found.encoded())
            report.tell(found, console)
            say(console, f"report: {shown(file)}")
            _see_off(places, pair, console)
        finally:
            collector.stop()
    return 1 if found.ended == "broken" else 0


def _files(places: Places, name: str, version: str, asked: Asked) -> tuple[Path, Kept]:
    """Where the report and the worst go; raises CommandError where there are some already."""
    if asked.report is not None:
        file = asked.report
    else:
        file = places.state / "shadows" / f"{name}-{version}-{datetime.now():%Y%m%d-%H%M%S}.json"
    folder = file.with_name(f"{file.stem}.worst")
    if folder.exists():
        raise CommandError(f"{shown(folder)} is there already", hint="remove it, or name another --report")
    return file, Kept(folder, asked.keep)


@contextmanager
def _mirrored(places: Places, name: str, mirror: WantedMirror, console: Console) -> Iterator[Versions]:
    """The candidate READY, and the gateway's copies on their way, as long as this lasts.

    Other commands may change the model meanwhile: whoever has to roll back mustn't wait for us.
    """
    try:
        with asking.alone(places, name):
            pair = _checked(places, name, mirror.version)
            kept = mirrors.living(wanted.load(places)).model(name).stays(mirror.version)
            mirror = msgspec.structs.replace(mirror, kept=kept)
            with asking.taken_back(places, name, trying="" if kept else mirror.version):
                canary.bring_up(places, name, mirror.version, console)
                revision = asking.ask(places, lambda state: mirrored(state, name, mirror))
                share = SeenShare(mirror.version, mirror.percent)

                def led(seen: Observed) -> bool:
                    model = seen.models.get(name)
                    return model is not None and model.shadow == share

                if not asking.wait(places, revision, led, versions.MARGIN):
                    raise CommandError(
                        f"{name}: the gateway couldn't be told to copy", hint="see scripts/pthserve status"
                    )
        yield pair
    finally:
        asking.ask(places, lambda state: mirrors.without(state, name, mirror.socket))


def _checked(places: Places, name: str, version: str) -> Versions:
    """Raises CommandError where these two can't be compared."""
    canary.with_gateway(places, name)
    model = wanted.load(places).model(name)
    if version == model.default:
        raise CommandError(
            f"{version} is the default of {name}", hint="name the version that you want to compare with it"
        )
    if model.mirror is not None and mirrors.alive(model.mirror):
        raise CommandError(
            f"{name} has a shadow already: {model.mirror.version}", hint="wait until that has ended"
        )
    return Versions(name, model.default, version)


def mirrored(before: Wanted, name: str, mirror: WantedMirror) -> Wanted:
    """The state with that mirror."""
    return before.having(name, msgspec.structs.replace(before.model(name), mirror=mirror))


def _look(
    places: Places,
    pair: Versions,
    asked: Asked,
    collector: Collector,
    url: str,
    kept: Kept,
    console: Console,
) -> Report:
    """Until it is enough; what was found."""
    recipes = [versions.recipe(places, pair.name, one) for one in (pair.serving, pair.candidate)]
    handlers = [one.handler for one in recipes if one is not None]
    lower = [one.tolerance for one in handlers if one.precision != "float32"]
    allowed = lower[0] if lower else Tolerance()
    patience = max(views.deadline(one) for one in recipes)
    comparing = Comparing(collector, pair, lambda: Passes(url, pair, patience), allowed, kept, asked.requests)
    with signals.stop_requested() as stop:
        begun = time.monotonic()
        comparing.start()
        ended = watch(places, comparing, asked.seconds, stop, console)
        lasted, left = time.monotonic() - begun, collector.left
    comparing.stop(2 * patience)
    if comparing.trouble:
        say(console, f"not all of the worst could be kept: {comparing.trouble}", "yellow")
    worst = kept.worst()
    return Report(
        name=pair.name,
        serving=pair.serving,
        candidate=pair.candidate,
        percent=asked.share,
        seconds=round(lasted, 1),
        ended=ended,
        tolerance=allowed,
        not_looked_at=left,
        all=comparing.tally.all(),
        kinds=comparing.tally.kinds(),
        kept=str(kept.folder) if worst else "",
        worst=worst,
    )


def _see_off(places: Places, pair: Versions, console: Console) -> None:
    """Wait until the candidate has gone, if it goes."""
    if wanted.load(places).model(pair.name).stays(pair.candidate):
        return
    with suppress(CommandError), console.status(f"{pair.name} {pair.candidate} leaves"):
        versions.gone(places, pair.name, 0, [pair.candidate])
