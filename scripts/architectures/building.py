"""Every builder of a library fingerprinted, in processes beside each other where there are many."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib import metadata
from multiprocessing import get_context
from types import ModuleType
from typing import Any

from rich.console import Console

from handlers.cores import cores
from scripts.architectures import timm_builders
from scripts.architectures.fingerprint import Fingerprint
from scripts.architectures.match import Library
from scripts.endpoints import say
from scripts.progress import bar

WORTH = 200
"""Builders for which another process is worth its start, which takes as long as some 40 of them."""


def installed() -> tuple[Library, ...]:
    """The libraries whose builders can be told apart here; ours first."""
    spec = importlib.util.find_spec("timm")
    if spec is None or spec.origin is None:  # none, or a mere folder of that name
        return ("torchvision",)
    return ("torchvision", "timm")


def versions(library: Library) -> dict[str, str]:
    """Of what decides the names and shapes; nothing is imported for it."""
    return {name: metadata.version(name) for name in (library, "torch")}


def source(library: Library) -> ModuleType:
    """The module that knows its builders: `plans` and `fingerprint`."""
    if library == "timm":
        return timm_builders
    from scripts.architectures import torchvision_builders  # imports torchvision, which takes a second

    return torchvision_builders


def build(library: Library, console: Console) -> list[Fingerprint]:
    """All of them, in the library's order; a bar on a terminal, else one line that says what takes time."""
    plans = source(library).plans()
    what = f"building the table of {library}'s {len(plans)} architectures, once"
    if not console.is_terminal:
        say(console, what)
    with bar(console) as progress:
        found = progress.track(_fingerprints(library, plans), total=len(plans), description=what)
        return [one for one in found if one is not None]


def _fingerprints(library: Library, plans: list[Any]) -> Iterator[Fingerprint | None]:
    processes = min(cores(), len(plans) // WORTH)
    if processes < 2:
        yield from map(source(library).fingerprint, plans)
        return
    # spawned: a fork of a process with torch's threads may hang
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        chunk = math.ceil(min(WORTH / 10, len(plans) / processes))
        yield from pool.map(source(library).fingerprint, plans, chunksize=chunk)
