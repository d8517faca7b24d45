"""status: how this node is, and what is wrong with it; with --ready, whether models can answer."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from scripts.endpoints import say
from scripts.places import Places
from scripts.state import asking, wanted
from scripts.state.observed import Observed


def status(places: Places, ready: bool, names: Sequence[str], console: Console) -> int:
    """0 when all is well: everything wanted answers, or, with names, each of those; else 1."""
    seen = asking.running(places)
    behind = wanted.load(places)
    chosen = list(names) or sorted(behind.serving())
    problems = [problem for name in chosen for problem in problems_of(seen, name)]
    if not seen.torchserve:
        problems.insert(0, "TorchServe isn't up; it is being started")
    if ready:
        for problem in problems:
            say(console, problem, "red")
        return 1 if problems or seen.phase == "stopping" else 0
    up = "TorchServe up" if seen.torchserve else "TorchServe down"
    gateway = f"gateway on {seen.url}" if seen.gateway else f"no gateway, TorchServe on {seen.url}"
    say(console, f"{seen.phase}: {up}, {gateway}, supervisor {seen.pid}")
    behindness = "" if seen.revision == behind.revision else f", taken in {seen.revision}"
    say(console, f"wanted: revision {behind.revision}{behindness}, {len(behind.serving())} models")
    for problem in problems:
        say(console, problem, "red")
    if not problems:
        say(console, "all that is wanted answers")
    return 1 if problems else 0


def problems_of(seen: Observed, name: str) -> list[str]:
    """What keeps a model, or one of its versions, from answering."""
    model = seen.models.get(name)
    if model is None:
        return [f"{name} isn't registered"]
    found = []
    for number, version in model.versions.items():
        if version.state == "failed":
            found.append(
                f"{name} {number} failed ({version.attempts} tries, next in {version.retry_in:.0f} s): "
                f"{version.reason}"
            )
        elif version.state not in ("ready", "leaving"):
            found.append(f"{name} {number} is {version.state}")
        elif version.state == "ready" and version.ready < version.wanted:
            found.append(f"{name} {number}: {version.ready} of {version.wanted} workers READY")
    return found
