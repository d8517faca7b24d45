"""Models of a few lines for tests of the life cycle: what they answer, and what a worker alone can't do."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests import tiny_models

BODY = b"[1, 2]"

IN_A_WORKER = '"PTHSERVE_FAILURES" in __import__("os").environ'
"""Tells a worker from the rehearsal before packing: what only a worker can find out."""


def write(
    models: Path,
    name: str,
    forward: str = "return x * self.scale",
    *,
    version: str = "1.0",
    **serving: object,
) -> Path:
    """models/NAME, answering what `forward` says to BODY; `serving` are TorchServe's keys."""
    folder = tiny_models.write(models / name, forward, name=name, version=version, runtime="eager")
    path = folder / "recipe.yaml"
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    tree |= {"responseTimeout": 20, "maxRetryTimeoutInSec": 10, **serving}
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return folder


def answer(offset: float) -> list[float]:
    """What a model that adds `offset` says to BODY."""
    return [1 + offset, 2 + offset]


def with_sample(folder: Path, expect: list[float]) -> None:
    """Give the model a sample: BODY, and what it has to answer."""
    (folder / "samples").mkdir(exist_ok=True)
    (folder / "samples" / "one.json").write_bytes(BODY)
    path = folder / "recipe.yaml"
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    tree["handler"]["samples"] = [{"input": "samples/one.json", "expect": expect}]
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
