"""OpenVINO: the network converted from torch directly."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from handlers.recipe import Model
from handlers.runtimes.exported import exported, in_a_line
from handlers.runtimes.quiet import quiet
from handlers.runtimes.setting import CantBuild, Material, Runtime, Setting

LIBRARIES = ("openvino",)
FILE_NAME = "model.xml"

HINT = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}
"""INFERENCE_PRECISION_HINT: what an int8 network has in float stays float32."""


def library() -> Any:
    """OpenVINO, which would tell its maker that it was imported, and again that it converts.

    Where its package for that can't be imported, it has a stub in its place. NNCF has one, too.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def build(material: Material, setting: Setting, folder: Path) -> None:
    setting.only("float32", "bfloat16", "int8")
    openvino = library()
    if setting.precision == "bfloat16" and "BF16" not in _capabilities():
        raise CantBuild("this processor has no bfloat16")
    program = exported(material)
    try:
        with quiet():
            converted = openvino.convert_model(program)
            if setting.precision == "int8":
                converted = _quantised(converted, material)
            _name_anew(converted)
            openvino.save_model(converted, folder / FILE_NAME, compress_to_fp16=False)
    except CantBuild:
        raise
    except Exception as error:
        raise CantBuild(f"openvino: {in_a_line(error)}") from error


def _capabilities() -> list[str]:
    found: list[str] = library().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return found


def _name_anew(converted: Any) -> None:
    """Each operation by its place: OpenVINO numbers them on from whatever was converted before."""
    converted.set_friendly_name("network")
    for index, operation in enumerate(converted.get_ordered_ops()):
        operation.set_friendly_name(f"{operation.get_type_name()}_{index}")
        for body in _bodies(operation):
            _name_anew(body)


def _bodies(operation: Any) -> list[Any]:
    """The networks inside of a loop or a condition."""
    match operation.get_type_name():
        case "Loop" | "TensorIterator":
            return [operation.get_function()]
        case "If":
            return [operation.get_then_body(), operation.get_else_body()]
        case _:
            return []


def _quantised(converted: object, material: Material) -> object:
    """int8 where it can be, by the range of values that the calibration inputs cause; raises CantBuild."""
    try:
        import nncf
    except ImportError:
        raise CantBuild("int8 needs nncf: scripts/pthserve setup int8") from None
    if not material.calibration:
        raise CantBuild("int8 needs inputs to calibrate with")
    inputs = [item[None].contiguous().numpy() for item in material.calibration]
    return nncf.quantize(converted, nncf.Dataset(inputs), subset_size=len(inputs))


def open_runtime(model: Model, folder: Path, setting: Setting, artifacts: Path) -> Runtime:
    compiled = (
        library()
        .Core()
        .compile_model(
            str(artifacts / FILE_NAME),
            "CPU",
            {
                "INFERENCE_NUM_THREADS": setting.threads,
                "NUM_STREAMS": 1,
                "ENABLE_CPU_PINNING": False,  # two workers would be pinned to the same core
                "INFERENCE_PRECISION_HINT": HINT[setting.precision],
            },
        )
    )
    request = compiled.create_infer_request()

    def run(batch: torch.Tensor) -> torch.Tensor:
        request.infer([batch.contiguous().numpy()], share_inputs=True)
        return torch.from_numpy(request.get_output_tensor(0).data.copy()).to(torch.float32)

    return run
