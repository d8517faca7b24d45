"""Registering one version with TorchServe and taking it away, each to its end: what a pool's thread does."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from handlers import execution, failure
from handlers.recipe import Recipe
from scripts.errors import CommandError
from scripts.places import shown
from scripts.serving.torchserve import TorchServe

POLL = 0.2  # s


class NotReady(CommandError):
    """A version's workers didn't become READY; `traceback` is the worker's own, where it left one."""

    def __init__(self, reason: str, *, hint: str, traceback: str = "") -> None:
        super().__init__(reason, hint=hint)
        self.traceback = traceback


def register(server: TorchServe, archive: Path, recipe: Recipe, workers: int) -> None:
    """Register an archive and wait until so many workers are READY.

    Raises NotReady, after taking the version away again, with the worker's own reason; and CommandError
    when TorchServe itself doesn't answer.
    """
    name, version = recipe.handler.name, recipe.handler.version
    failures = server.told
    failure.clear(failures, name, version)
    execution.clear(failures, name, version)
    try:
        refusal = server.management.register(archive, recipe)
        if (
            not refusal and workers != recipe.workers
        ):  # the archive's YAML wins over what is asked for at first
            server.management.scale(name, version, workers)
        problem = refusal or _problem(server, recipe, workers, failures)
    except CommandError:
        with contextlib.suppress(CommandError):  # or its workers come up for nobody
            server.management.unregister(name, version)
        raise
    if not problem:
        return
    told, traceback = reason(server, name, version)  # before another worker is ended while it writes its own
    server.management.unregister(name, version)
    if not told:
        told, traceback = reason(server, name, version)
    if not told:
        raise NotReady(problem, hint=f"see {shown(server.log)}")
    raise NotReady(told, hint=f"the traceback is in {shown(server.log)}", traceback=traceback)


def reason(server: TorchServe, name: str, version: str) -> tuple[str, str]:
    """Why a worker couldn't open its archive, and its traceback; "" where none has left word."""
    left = failure.find(server.told, name, version) or ""
    told, _, traceback = left.partition("\n\n")
    return told, traceback


def _problem(server: TorchServe, recipe: Recipe, workers: int, failures: Path) -> str:
    """Wait for so many READY workers: "", or why they won't be, as soon as the first has failed."""
    name, version = recipe.handler.name, recipe.handler.version
    deadline = time.monotonic() + recipe.startup_timeout
    starting: set[int] = set()  # processes that were seen on their way
    while time.monotonic() < deadline:
        seen = server.management.version(name, version)
        if seen is None or failure.find(failures, name, version) is not None:
            return "its workers couldn't start"
        if sum(worker.status == "READY" for worker in seen.workers) >= workers:
            return ""
        starting |= {worker.pid for worker in seen.workers if worker.status != "READY" and worker.pid > 0}
        if len(starting) > max(workers, recipe.workers):  # TorchServe has begun to try again
            return "a worker ended while it started, without a word"
        time.sleep(POLL)
    return f"its workers weren't READY after {recipe.startup_timeout} s"


def unregister(server: TorchServe, name: str, version: str) -> None:
    """Take a version away that nothing is in flight on; raises CommandError when it is still there."""
    server.management.unregister(name, version)
    if server.management.version(name, version) is not None:
        raise CommandError(f"TorchServe keeps {name} {version}", hint=f"see {shown(server.log)}")
