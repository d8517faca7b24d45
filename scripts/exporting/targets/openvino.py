"""OpenVINO: model.xml and model.bin, for Intel's processors and graphics, in Python or C++."""

from __future__ import annotations

from pathlib import Path

import torch

from handlers.runtimes import Material, Setting, openvino
from scripts.exporting.targets.portable import Array, Portable, Values, as_float32

FILE_NAME = openvino.FILE_NAME
NEEDED = ("openvino",)
EXTRA = ""
INSTALLS = "openvino"
ONE_BY_ONE = False
ELSEWHERE = "C++: ov::Core::compile_model (docs.openvino.ai) opens the same two files."
IMPORTS = "import openvino"
RUN = """\
exact = {"INFERENCE_PRECISION_HINT": "f32"}  # else some processors compute in bfloat16
output = openvino.Core().compile_model(here / "model.xml", "CPU", exact)([batch])[0][0]
"""


def write(material: Material, folder: Path) -> None:
    openvino.build(material, Setting(torch.device("cpu"), torch.get_num_threads()), folder)


def open_portable(folder: Path) -> Portable:
    from openvino import Core

    compiled = Core().compile_model(folder / FILE_NAME, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(batch: Array) -> Values:
        return as_float32(compiled([batch])[0])

    return Portable(run, _name(compiled.input(0)), _name(compiled.output(0)))


def _name(port: object) -> str | None:
    """What the file calls an input or an output, the first of its names in order; None if it has none."""
    names: set[str] = port.get_names()  # type: ignore[attr-defined]
    return min(names, default=None)
