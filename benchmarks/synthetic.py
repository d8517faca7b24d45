"""A model of half a gigabyte that takes no time to make: what its workers hold is its weights."""

from __future__ import annotations

from pathlib import Path

import torch

NAME = "half_gigabyte"
SIDE, LAYERS = 4096, 8
"""64 MiB a layer, in float32."""

RECIPE = f"""batchSize: 1
handler:
  name: {NAME}
  version: "1.0"
  task: tensor
  architecture: {{class: model.py:Wide}}
  weights: weights.pth
  runtime: eager
  input: {{kind: tensor, shape: [{SIDE}]}}
  samples: [{{input: samples/zeros.npy, expect: samples/zeros.npy}}]
"""

CODE = f"""from torch import nn


class Wide(nn.Sequential):
    def __init__(self):
        super().__init__(*(nn.Linear({SIDE}, {SIDE}, bias=False) for _ in range({LAYERS})))
"""


def make(models: Path) -> Path:
    """Its folder below `models`; zeros go in and, without biases, come out."""
    import numpy as np

    folder = models / NAME
    (folder / "samples").mkdir(parents=True)
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    (folder / "model.py").write_text(CODE, encoding="utf-8")
    np.save(folder / "samples" / "zeros.npy", np.zeros(SIDE, np.float32))
    torch.save(
        {f"{index}.weight": torch.randn(SIDE, SIDE) / SIDE**0.5 for index in range(LAYERS)},
        folder / "weights.pth",
    )
    return folder
