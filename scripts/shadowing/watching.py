"""While a comparison goes on: how it stands on the terminal, and what ends it."""

from __future__ import annotations

import threading
import time

from rich.console import Console

from scripts.errors import CommandError
from scripts.places import Places
from scripts.shadowing import report
from scripts.shadowing.comparing import Comparing
from scripts.shadowing.report import Ended
from scripts.state import asking, wanted

LOOK = 0.5  # s between two looks at whether it goes on


def watch(
    places: Places, comparing: Comparing, seconds: float | None, stop: threading.Event, console: Console
) -> Ended:
    """Why it ends: enough is seen, the time is over, `stop` is set, or others have changed the model."""
    until = time.monotonic() + seconds if seconds is not None else None
    name = f"{comparing.versions.name} {comparing.versions.candidate}"
    with console.status(f"{name}: waiting for requests; Ctrl-C ends it") as live:
        while not stop.wait(LOOK if until is None else max(0.0, min(LOOK, until - time.monotonic()))):
            if comparing.finished():
                return "requests"
            if until is not None and time.monotonic() >= until:
                return "time"
            if comparing.broken():
                return "broken"
            if changed := _changed(places, comparing):
                return changed
            told = report.line(comparing.tally, comparing.collector.left)
            live.update(f"{name}: {told}; Ctrl-C ends it")
    return "interrupted"


def _changed(places: Places, comparing: Comparing) -> Ended | None:
    """What others did that leaves nothing to compare."""
    try:
        asking.running(places)
    except CommandError:
        return "no supervisor"
    model = wanted.load(places).model(comparing.versions.name)
    if model.default != comparing.versions.serving:
        return "default moved"
    if model.mirror is None or model.mirror.socket != str(comparing.collector.path):
        return "taken back"
    return None
