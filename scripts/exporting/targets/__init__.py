"""What a model can be exported to, one file each with the same names.

write           the network and an input to trace it with -> the portable file in a folder
open_portable   that file, opened by its own runtime -> a function from batches to raw outputs
"""

from __future__ import annotations

import importlib.util
from importlib import import_module
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, get_args

from handlers.runtimes import Material
from scripts.errors import CommandError
from scripts.exporting.targets.portable import Portable

TargetName: TypeAlias = Literal["torchscript", "onnx", "openvino", "executorch"]
NAMES: tuple[TargetName, ...] = get_args(TargetName)


class Target(Protocol):
    """What each file of this folder offers."""

    FILE_NAME: str
    """The portable file; openvino's weights lie beside it."""
    NEEDED: tuple[str, ...]
    """Modules that have to be importable here; all but torch's own stand for a package of that name."""
    EXTRA: str
    """What `scripts/pthserve setup` installs them by; empty where they are in the default set."""
    INSTALLS: str
    """What pip installs for the example."""
    ONE_BY_ONE: bool
    """Whether it takes just one item at a time."""
    ELSEWHERE: str
    """A sentence for README.txt: where else the file runs."""
    IMPORTS: str
    """The example's import lines of the runtime."""
    RUN: str
    """The example's lines from `batch` [1, ...] to `output` without the batch dimension, both NumPy's."""

    def write(self, material: Material, folder: Path) -> None:
        """Raises CantBuild, and what the exporter raises."""

    def open_portable(self, folder: Path) -> Portable:
        """What `write` wrote, held to eager's arithmetic: float32."""


def named(name: TargetName) -> Target:
    """The file of one target; what it needs is imported only when it is used."""
    module: Target = import_module(f"{__name__}.{name}")
    return module


def require(name: TargetName) -> None:
    """Raises CommandError where the packages that it needs aren't installed."""
    target = named(name)
    for module in target.NEEDED:
        if importlib.util.find_spec(module) is None:
            raise CommandError(
                f"--to {name} needs {module}, which isn't installed",
                hint=f"scripts/pthserve setup {target.EXTRA}".rstrip(),
            )
