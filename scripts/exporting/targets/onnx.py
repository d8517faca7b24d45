"""ONNX: model.onnx, one file that ONNX's checker passes, for ONNX Runtime in any language and browser."""

from __future__ import annotations

from pathlib import Path

import torch

from handlers.runtimes import Material, Setting, onnxruntime
from scripts.exporting.targets.portable import Array, Portable, Values, as_float32

FILE_NAME = onnxruntime.FILE_NAME
NEEDED = ("onnx", "onnxscript", "onnxruntime")
EXTRA = ""
INSTALLS = "onnxruntime"
ONE_BY_ONE = False
ELSEWHERE = (
    "Browser: onnxruntime-web (npm) opens the same file; C++, C#, Java, Android and iOS have packages of "
    "ONNX Runtime (onnxruntime.ai)."
)
IMPORTS = "import onnxruntime"
RUN = """\
session = onnxruntime.InferenceSession(here / "model.onnx", providers=["CPUExecutionProvider"])
output = session.run(None, {session.get_inputs()[0].name: batch})[0][0]
"""

LARGEST = 2**31 - 2**20
"""Bytes of a file that protobuf reads, with room for the graph: weights beyond lie in a file beside it."""


def write(material: Material, folder: Path) -> None:
    """Raises CantBuild, or what the checker raises."""
    import onnx

    onnxruntime.build(material, Setting(torch.device("cpu"), torch.get_num_threads()), folder)
    path = folder / FILE_NAME
    if sum(file.stat().st_size for file in folder.iterdir()) < LARGEST:
        model = onnx.load(path)
        for file in folder.iterdir():
            file.unlink()
        onnx.save(model, path)
    onnx.checker.check_model(path, full_check=True)


def open_portable(folder: Path) -> Portable:
    from onnxruntime import InferenceSession

    session = InferenceSession(str(folder / FILE_NAME), providers=["CPUExecutionProvider"])
    name, output = session.get_inputs()[0].name, session.get_outputs()[0].name

    def run(batch: Array) -> Values:
        return as_float32(session.run(None, {name: batch})[0])

    return Portable(run, name, output)
