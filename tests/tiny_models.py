"""Model folders whose network is a few lines: what a forward pass must do to be tested."""

from __future__ import annotations

import textwrap
from pathlib import Path

import torch
import yaml

MODEL = """\
import torch
from pathlib import Path
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.empty(1))

    def forward(self, x):
"""


def write(folder: Path, forward: str, *, batch_size: int = 8, task_py: str = "", **handler: object) -> Path:
    """A folder whose network runs the lines of `forward` on the batch `x`; its one weight, `scale`, is 1."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe = {
        "batchSize": batch_size,
        "handler": {
            "name": "tiny",
            "version": "1.0",
            "task": "tensor",
            "architecture": {"class": "model.py:Net"},
            "weights": "weights.pth",
            "input": {"kind": "tensor", "shape": [2]},
            **handler,
        },
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    (folder / "model.py").write_text(MODEL + textwrap.indent(textwrap.dedent(forward), " " * 8) + "\n")
    if task_py:
        (folder / "task.py").write_text(textwrap.dedent(task_py))
    torch.save({"scale": torch.ones(1)}, folder / "weights.pth")
    return folder
