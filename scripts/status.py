"""status: how this node is, and what is wrong with it; with --ready, whether models can answer."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from scripts.checking import assumed
from scripts.endpoints import say
from scripts.places import Places
from scripts.state import asking, wanted
from scripts.state.observed import Observed, SeenVersion


def status(places: Places, ready: bool, names: Sequence[str], console: Console) -> int:
    """0 when all is well: everything wanted answers, or, with names, each of those; else 1."""
    seen = asking.running(places)
    behind = wanted.load(places)
    chosen = list(names) or sorted(behind.serving())
    down = [] if seen.torchserve else ["TorchServe isn't up; it is being started"]
    if ready:
        unready = [*down, *filter(None, (unready_because(seen, name) for name in chosen))]
        if seen.phase == "stopping" or (seen.phase == "starting" and not names):
            unready.append(f"the node is {seen.phase}")
        for problem in unready:
            say(console, problem, "red")
        return 1 if unready else 0
    problems = [*down, *(problem for name in chosen for problem in problems_of(seen, name))]
    up = "TorchServe up" if seen.torchserve else "TorchServe down"
    gateway = f"gateway on {seen.url}" if seen.gateway else f"no gateway, TorchServe on {seen.url}"
    say(console, f"{seen.phase}: {up}, {gateway}, supervisor {seen.pid}")
    behindness = "" if seen.revision == behind.revision else f", taken in {seen.revision}"
    say(console, f"wanted: revision {behind.revision}{behindness}, {len(behind.serving())} models")
    for problem in problems:
        say(console, problem, "red")
    if not problems:
        say(console, "all that is wanted answers")
    for note in (note for name in chosen for note in beside(seen, name)):
        say(console, note)
    for note in (note for name in chosen for note in assumptions_of(seen, name)):
        say(console, note, "yellow")
    return 1 if problems else 0


def unready_because(seen: Observed, name: str) -> str:
    """Why callers who name the model alone get no answer; "" when they do."""
    model = seen.models.get(name)
    version = model.versions.get(model.default) if model is not None else None
    if model is None or not model.default:
        return f"{name} isn't registered"
    if version is None:
        return f"{name} {model.default} isn't there"
    return "" if version.state == "ready" else problem_of(name, model.default, version)


def problems_of(seen: Observed, name: str) -> list[str]:
    """What keeps a model, or one of its versions, from answering."""
    model = seen.models.get(name)
    if model is None:
        return [f"{name} isn't registered"]
    told = (problem_of(name, number, version) for number, version in model.versions.items())
    return [problem for problem in told if problem]


def beside(seen: Observed, name: str) -> list[str]:
    """What gets a share of the default's requests, or copies of it: "a: canary 2.0 5%"."""
    model = seen.models.get(name)
    shares = {"canary": model.canary, "shadow": model.shadow} if model is not None else {}
    return [f"{name}: {word} {share}" for word, share in shares.items() if share is not None]


def assumptions_of(seen: Observed, name: str) -> list[str]:
    """What of a model's versions nothing proves: they answer, perhaps not as the model was trained."""
    return [
        f"{name} {number}: assumed and not proven: {assumed.words(version.assumed)}; "
        f"see scripts/pthserve check {name}"
        for number, version in seen.versions(name).items()
        if version.assumed
    ]


def problem_of(name: str, number: str, version: SeenVersion) -> str:
    """What is wrong with one version; "" when nothing is."""
    match version.state:
        case "failed":
            tries = f"{version.attempts} tries, next in {version.retry_in} s"
            return f"{name} {number} failed ({tries}): {version.reason}"
        case "leaving":
            return ""
        case "ready" if version.ready >= version.wanted:
            return ""
        case "ready":
            return f"{name} {number}: {version.ready} of {version.wanted} workers READY"
        case _:
            return f"{name} {number} is {version.state}"
