"""What a model's workers cost in memory beyond workers that do nothing."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import torch
from msgspec import Struct
from msgspec.structs import replace

from handlers.recipe import Recipe
from scripts.benchmarking import memory, private, variant
from scripts.benchmarking.private import Up
from scripts.calling.inference import Inference
from scripts.catalog import Entry
from scripts.errors import CommandError
from scripts.places import Places
from scripts.processes.children import Children

IDLE = "idle"

IDLE_RECIPE = """minWorkers: {workers}
maxWorkers: {workers}
handler:
  name: idle
  version: "1.0"
  task: tensor
  architecture: {{class: model.py:Nothing}}
  weights: weights.pth
  runtime: eager
  input: {{kind: tensor, shape: [1]}}
  samples: [{{input: samples/one.json, expect: [2.0]}}]
"""

IDLE_CODE = """from torch import nn


class Nothing(nn.Linear):
    def __init__(self):
        super().__init__(1, 1)
"""


class Footprint(Struct, frozen=True):
    """Bytes; PSS, where what workers share counts once."""

    workers: int
    """How many of each."""
    model: int
    """Of the model's workers."""
    idle: int
    """Of as many that serve a network of two numbers."""
    weights: int
    """Of the file."""

    @property
    def ratio(self) -> float:
        """What the model's workers hold beyond the idle ones, in files of weights."""
        return (self.model - self.idle) / self.weights


def measured(places: Places, entry: Entry, workers: int, scratch: Path, children: Children) -> Footprint:
    """Both on one `up` of our own, after their samples have passed; raises CommandError."""
    models = scratch / "models"
    models.mkdir(parents=True)
    crowded = variant.make(entry, models, {"minWorkers": workers, "maxWorkers": workers})
    _make_idle(models / IDLE, workers)
    own = private.places_in(scratch / "own", replace(places, models=models))
    private.run(own, children, "archive", entry.name, IDLE)
    with ExitStack() as stack:
        up = Up(own, [entry.name, IDLE], stack)
        _ask(up, crowded.recipe, crowded.folder)
        found = {name: memory.workers(up.seen.pid, name) for name in (entry.name, IDLE)}
        for name, pids in found.items():
            if len(pids) != workers:
                raise CommandError(f"{name} has {len(pids)} workers, not {workers}:\n{up.program.tail()}")
        return Footprint(
            workers,
            memory.pss(found[entry.name]),
            memory.pss(found[IDLE]),
            crowded.weights.stat().st_size,
        )


def _ask(up: Up, recipe: Recipe, folder: Path) -> None:
    """Each worker has answered more than its own samples: the gateway's way costs memory, too."""
    inference = Inference(up.seen.url)
    for _ in range(4 * recipe.workers):
        for sample in recipe.handler.samples[:1]:
            inference.predict(recipe.handler.name, (folder / sample.input).read_bytes())


def _make_idle(folder: Path, workers: int) -> None:
    (folder / "samples").mkdir(parents=True)
    (folder / "recipe.yaml").write_text(IDLE_RECIPE.format(workers=workers), encoding="utf-8")
    (folder / "model.py").write_text(IDLE_CODE, encoding="utf-8")
    (folder / "samples" / "one.json").write_text("[1.0]", encoding="utf-8")
    torch.save({"weight": torch.ones(1, 1), "bias": torch.ones(1)}, folder / "weights.pth")
