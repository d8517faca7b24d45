"""What `init` decides about a model, part by part; each part says what nothing in the checkpoint tells."""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType

from handlers.recipe import Architecture, Input, Output


class Network(Struct, frozen=True):
    """How the network is rebuilt."""

    summary: str
    """A clause: "torchvision's resnet50 with num_classes 37"."""
    architecture: Architecture | UnsetType = UNSET
    files: dict[str, bytes] = {}
    """Python files that it needs: relative path in the model's folder -> content."""
    strip_prefix: str = ""
    allow_unexpected: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    drafted: bool = False
    """Whether anything that decides its answers is a guess: the order of layers, a stride, an activation."""
    outputs: int | None = None


class Preparation(Struct, frozen=True):
    """How inputs are prepared."""

    inputs: Input
    assumed: bool
    unknown: tuple[str, ...] = ()


class Meaning(Struct, frozen=True):
    """What the outputs mean."""

    task: str
    output: Output = Output()
    labels: tuple[str, ...] = ()
    """The lines of labels.txt, where there are labels."""
    assumed: bool = False
    unknown: tuple[str, ...] = ()
