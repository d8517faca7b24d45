"""OpenVINO: the network converted from torch directly."""

from __future__ import annotations

from pathlib import Path

import torch

from handlers.recipe import Model
from handlers.runtimes.exported import exported
from handlers.runtimes.setting import CantBuild, Material, Runtime, Setting

LIBRARIES = ("openvino",)
FILE_NAME = "model.xml"

HINT = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}
"""INFERENCE_PRECISION_HINT: what an int8 network has in float stays float32."""


def build(material: Material, setting: Setting, folder: Path) -> None:
    import openvino

    if setting.precision == "bfloat16" and "BF16" not in _capabilities():
        raise CantBuild("this processor has no bfloat16")
    converted = openvino.convert_model(exported(material))
    if setting.precision == "int8":
        converted = _quantised(converted, material)
    openvino.save_model(converted, folder / FILE_NAME, compress_to_fp16=False)


def _capabilities() -> list[str]:
    import openvino

    found: list[str] = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return found


def _quantised(converted: object, material: Material) -> object:
    try:
        import nncf
    except ImportError:
        raise CantBuild("int8 needs nncf: scripts/pthserve setup int8") from None
    inputs = [item[None].numpy() for item in material.calibration]
    return nncf.quantize(converted, nncf.Dataset(inputs), subset_size=len(inputs))


def open_runtime(model: Model, folder: Path, setting: Setting, artifacts: Path) -> Runtime:
    import openvino

    compiled = openvino.Core().compile_model(
        str(artifacts / FILE_NAME),
        "CPU",
        {
            "INFERENCE_NUM_THREADS": setting.threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # two workers would be pinned to the same core
            "INFERENCE_PRECISION_HINT": HINT[setting.precision],
        },
    )
    request = compiled.create_infer_request()

    def run(batch: torch.Tensor) -> torch.Tensor:
        request.infer([batch.numpy()], share_inputs=True)
        return torch.from_numpy(request.get_output_tensor(0).data.copy()).to(torch.float32)

    return run
