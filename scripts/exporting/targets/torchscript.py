"""TorchScript: traced.pt, for PyTorch without the model's code, in Python or C++."""

from __future__ import annotations

from pathlib import Path

import torch

from handlers.runtimes import Material, Setting, torchscript
from scripts.exporting.targets.portable import Array, Portable, Values, as_float32

FILE_NAME = torchscript.FILE_NAME
NEEDED = ("torch",)
EXTRA = ""
INSTALLS = "torch"
ONE_BY_ONE = False
ELSEWHERE = "C++: torch::jit::load of libtorch (pytorch.org/cppdocs) opens the same file."
IMPORTS = "import torch"
RUN = """\
network = torch.jit.load(here / "traced.pt")
with torch.inference_mode():
    output = network(torch.from_numpy(batch))[0].numpy()
"""


def write(material: Material, folder: Path) -> None:
    if isinstance(material.network, torch.jit.ScriptModule):  # the checkpoint is that already
        torch.jit.save(material.network, str(folder / FILE_NAME))
        return
    torchscript.build(material, Setting(torch.device("cpu"), torch.get_num_threads()), folder)


def open_portable(folder: Path) -> Portable:
    network = torch.jit.load(str(folder / FILE_NAME))  # type: ignore[no-untyped-call]

    def run(batch: Array) -> Values:
        with torch.inference_mode():
            return as_float32(network(torch.from_numpy(batch)))

    return Portable(run)
