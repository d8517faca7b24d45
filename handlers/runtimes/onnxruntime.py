"""ONNX Runtime: the network exported by torch's dynamo exporter."""

from __future__ import annotations

from pathlib import Path

import torch

from handlers.recipe import Model
from handlers.runtimes.exported import exported
from handlers.runtimes.setting import CantBuild, Material, Runtime, Setting

LIBRARIES = ("onnxruntime",)
FILE_NAME = "model.onnx"


def build(material: Material, setting: Setting, folder: Path) -> None:
    if setting.precision != "float32":
        raise CantBuild(f"no {setting.precision} here")
    program = torch.onnx.export(exported(material), dynamo=True, verbose=False)
    assert program is not None
    program.save(str(folder / FILE_NAME), external_data=True)


def open_runtime(model: Model, folder: Path, setting: Setting, artifacts: Path) -> Runtime:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = setting.threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(artifacts / FILE_NAME), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name

    def run(batch: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(session.run(None, {name: batch.numpy()})[0]).to(torch.float32)

    return run
