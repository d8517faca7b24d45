"""torch.compile ahead of time: an AOTInductor package. Building it needs a compiler, serving none."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from handlers.recipe import Model
from handlers.runtimes.exported import exported
from handlers.runtimes.setting import CantBuild, Material, Runtime, Setting

LIBRARIES = ("torch",)
FILE_NAME = "model.pt2"


def build(material: Material, setting: Setting, folder: Path) -> None:
    if shutil.which("g++") is None and shutil.which("c++") is None:
        raise CantBuild("needs a C++ compiler (Debian, Ubuntu: apt-get install g++)")
    if setting.precision != "float32":
        raise CantBuild(f"no {setting.precision} here")
    from torch import _inductor

    with torch.no_grad():
        _inductor.aoti_compile_and_package(
            exported(material), package_path=str(folder / FILE_NAME), inductor_configs={"freezing": True}
        )


def open_runtime(model: Model, folder: Path, setting: Setting, artifacts: Path) -> Runtime:
    from torch import _inductor

    network = _inductor.aoti_load_package(str(artifacts / FILE_NAME))

    def run(batch: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = network(batch)
        return output.to("cpu", torch.float32)

    return run
