"""ExecuTorch: model.pte, lowered to XNNPACK, for Android, iOS and what is smaller."""

from __future__ import annotations

from pathlib import Path

import torch

from handlers.runtimes import Material
from handlers.runtimes.exported import in_a_line
from handlers.runtimes.quiet import quiet
from handlers.runtimes.setting import CantBuild
from scripts.exporting.targets.portable import Array, Portable, Values, as_float32

FILE_NAME = "model.pte"
NEEDED = ("executorch",)
EXTRA = "executorch"
INSTALLS = "executorch"
ONE_BY_ONE = True
ELSEWHERE = (
    "Android: org.pytorch:executorch-android; iOS: the Swift package ExecuTorch; both load the same file "
    "(docs.pytorch.org/executorch). It takes one item at a time."
)
IMPORTS = "import torch\nfrom executorch.runtime import Runtime"
RUN = """\
method = Runtime.get().load_program(here / "model.pte").load_method("forward")
output = method.execute([torch.from_numpy(batch)])[0][0].numpy()
"""


def write(material: Material, folder: Path) -> None:
    """For one item: phones plan their memory ahead. Raises CantBuild."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    try:
        with quiet(), torch.no_grad():
            program = torch.export.export(material.network, (material.batch[:1].contiguous(),))
            lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    except Exception as error:  # whatever the network's own code does that can't be traced
        raise CantBuild(f"torch.export: {in_a_line(error)}") from error
    (folder / FILE_NAME).write_bytes(lowered.to_executorch().buffer)


def open_portable(folder: Path) -> Portable:
    from executorch.runtime import Runtime

    method = Runtime.get().load_program(folder / FILE_NAME).load_method("forward")

    def run(batch: Array) -> Values:
        return as_float32(method.execute([torch.from_numpy(batch)])[0])

    return Portable(run)
