"""Models that are busy for so long with each batch, however many items it has, and one that never is."""

from __future__ import annotations

from pathlib import Path

import torch

BODY = b"[1, 2]"
BATCH = 8
SECONDS = 0.05

SLEEPS = "time.sleep(SECONDS)"
COMPUTES = """until = time.perf_counter() + SECONDS
        while time.perf_counter() < until:
            torch.mm(self.work, self.work)"""
NOTHING = "pass"

RECIPE = """batchSize: {batch}
handler:
  name: {name}
  version: "1.0"
  task: tensor
  architecture: {{class: model.py:Busy}}
  weights: weights.pth
  runtime: eager
  threads: 1
  input: {{kind: tensor, shape: [2]}}
  samples: [{{input: samples/one.json, expect: [1.0, 2.0]}}]
"""

CODE = """import time

import torch
from torch import nn

SECONDS = {seconds}


class Busy(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.empty(1))
        self.work = torch.ones(64, 64)

    def forward(self, x):
        {busy}
        return x * self.scale
"""


def make(models: Path, name: str, busy: str, *, seconds: float = SECONDS, batch: int = BATCH) -> Path:
    """Its folder below `models`; it answers what it was asked, as `busy` says."""
    folder = models / name
    (folder / "samples").mkdir(parents=True)
    (folder / "samples" / "one.json").write_bytes(BODY)
    (folder / "recipe.yaml").write_text(RECIPE.format(name=name, batch=batch), encoding="utf-8")
    (folder / "model.py").write_text(CODE.format(seconds=seconds, busy=busy), encoding="utf-8")
    torch.save({"scale": torch.ones(1)}, folder / "weights.pth")
    return folder
