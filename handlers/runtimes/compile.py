"""torch.compile ahead of time: an AOTInductor package. Building it needs a compiler, serving none.

It holds machine code for this kind of processor, and isn't the same bytes when built twice.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from handlers.recipe import Model
from handlers.runtimes.exported import exported, in_a_line
from handlers.runtimes.quiet import quiet
from handlers.runtimes.setting import CantBuild, Material, Runtime, Setting

LIBRARIES = ("torch",)
FILE_NAME = "model.pt2"


ITEM = "pthserve_item"
"""Key of the package's metadata: what one item has to be."""


def _item(batch: torch.Tensor) -> str:
    return f"{batch.dtype} {list(batch.shape[1:])}"


def build(material: Material, setting: Setting, folder: Path) -> None:
    setting.only("float32")
    if shutil.which("g++") is None and shutil.which("c++") is None:
        raise CantBuild("needs a C++ compiler (Debian, Ubuntu: apt-get install g++)")
    if material.dynamic != (0,):
        raise CantBuild("no pictures of any size here")
    from torch import _inductor

    program = exported(material)
    options = {
        "freezing": True,
        "cpp.threads": setting.threads,  # they become part of the code
        "aot_inductor.metadata": {ITEM: _item(material.batch)},
    }
    try:
        with quiet(), torch.no_grad():
            _inductor.aoti_compile_and_package(
                program, package_path=str(folder / FILE_NAME), inductor_configs=options
            )
    except Exception as error:
        raise CantBuild(f"torch.compile: {in_a_line(error)}") from error


def open_runtime(model: Model, folder: Path, setting: Setting, artifacts: Path) -> Runtime:
    from torch import _inductor

    network = _inductor.aoti_load_package(str(artifacts / FILE_NAME))
    item = network.get_metadata()[ITEM]

    def run(batch: torch.Tensor) -> torch.Tensor:
        if _item(batch) != item:  # the machine code would read beyond its memory
            raise ValueError(f"compiled for items of {item}, given {_item(batch)}")
        output: torch.Tensor = network(batch.contiguous())
        return output.to("cpu", torch.float32)

    return run
