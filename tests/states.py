"""Archives, wanted and observed states in a line each, and a supervisor for commands that wait for one."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec

from scripts.places import Places
from scripts.state import mirrors, observed, wanted
from scripts.state.observed import Observed, SeenModel, SeenShare, SeenVersion
from scripts.state.wanted import Wanted, WantedCanary, WantedMirror, WantedModel, WantedVersion


def recipe_of(name: str, version: str, **keys: Any) -> dict[str, Any]:
    """recipe.yaml of a model with one weight, as a tree; `workers` stands for both of TorchServe's keys."""
    workers = keys.pop("workers", 1)
    handler = {
        "name": name,
        "version": version,
        "task": "tensor",
        "architecture": {"class": "model.py:Net"},
        "weights": "weights.pth",
        "input": {"kind": "tensor", "shape": [2]},
        **keys.pop("handler", {}),
    }
    return {
        "minWorkers": workers,
        "maxWorkers": workers,
        "maxRetryTimeoutInSec": 10,
        "responseTimeout": 30,
        **keys,
        "handler": handler,
    }


def pack(store: Path, name: str, version: str = "1.0", *, called: str | None = None, **keys: Any) -> Path:
    """An archive of which only the recipe is there; under the file name of version `called`, if given."""
    store.mkdir(parents=True, exist_ok=True)
    path = store / f"{name}-{called or version}.mar"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("recipe.yaml", json.dumps(recipe_of(name, version, **keys)))
    return path


def model(
    default: str, *others: str, workers: int = 1, leaving: tuple[str, ...] = (), **more: Any
) -> WantedModel:
    """An endpoint with these versions, the first of them its default."""
    versions = {
        number: WantedVersion(workers, asked=1, leaving=number in leaving) for number in (default, *others)
    }
    return WantedModel(default, versions, **more)


def state(revision: int = 1, **models: WantedModel) -> Wanted:
    return Wanted(revision, models)


def store(places: Places, **models: WantedModel) -> Wanted:
    """The wanted state of these models, written."""
    return wanted.change(places, lambda before: msgspec.structs.replace(before, models=models))


def seen(revision: int = 1, **models: SeenModel) -> Observed:
    return Observed(revision, os.getpid(), "serving", True, True, "http://127.0.0.1:1", "127.0.0.1:1", models)


Tweak = Callable[[str, str, "SeenVersion | None"], "SeenVersion | None"]


class Follower:
    """A supervisor for which all that is wanted comes about at once, but for what `tweak` changes."""

    def __init__(self, places: Places, tweak: Tweak = lambda name, number, one: one) -> None:
        self.places = places
        self.tweak = tweak
        self.lingering: dict[str, SeenVersion] = {}
        """Versions of every model that are there still when they aren't wanted."""

    def step(self) -> None:
        behind = mirrors.living(wanted.load(self.places))
        models = {name: self._model(name, one) for name, one in behind.models.items() if one.versions}
        there = {name: one for name, one in models.items() if one.versions}
        observed.publish(self.places, seen(behind.revision, **there))

    def _model(self, name: str, one: WantedModel) -> SeenModel:
        versions = {number: left for number, left in self.lingering.items() if number not in one.versions}
        for number, version in one.versions.items():
            come = SeenVersion("ready", version.workers, version.workers, asked=version.asked)
            shown = self.tweak(name, number, None if version.leaving else come)
            if shown is not None:
                versions[number] = shown
        beside = (_share(versions, one.canary), _share(versions, one.mirror))
        return SeenModel(one.default if one.default in versions else "", versions, *beside)


def _share(
    versions: Mapping[str, SeenVersion], beside: WantedCanary | WantedMirror | None
) -> SeenShare | None:
    """As the supervisor sees it: only while its version answers."""
    found = versions.get(beside.version) if beside is not None else None
    if beside is None or found is None or found.state != "ready":
        return None
    return SeenShare(beside.version, beside.percent)


def printed(console: Any) -> str:
    """What a console on a StringIO has shown."""
    return str(console.file.getvalue())


def settings(**addresses: str) -> Any:
    """As much of a Config as the supervisor reads."""
    named: Mapping[str, str] = {"gateway": "8000", "inference": "8080", "grpc_inference": "7070", **addresses}
    urls = {name: SimpleNamespace(url=f"http://127.0.0.1:{port}") for name, port in named.items()}
    return SimpleNamespace(
        gateway_keys=None,
        gateway_limit=1_000_000,
        gateway_wait=0.25,
        gateway_certificate=None,
        queue=200,
        **urls,
    )
