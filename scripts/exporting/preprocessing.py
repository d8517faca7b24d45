"""preprocessing.json: how the exported file is fed and read, for who rebuilds that in another language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from handlers.handler import Handler
from handlers.recipe import ImageInput, TensorInput
from handlers.recipe.structs import Scale
from handlers.tasks import Classify, Regress, Task, Tensor

KNOWN: Mapping[str, type[Task]] = {"classify": Classify, "regress": Regress, "tensor": Tensor}
"""Tasks whose reading of outputs is described, and done by the example."""


class Port(Struct, frozen=True):
    """The input or the output of the network; a dimension that varies has a name in the place of a size."""

    name: str | None
    dtype: str
    shape: list[int | str]
    layout: str = ""


class Picture(Struct, frozen=True):
    """How a picture becomes the input, in this order."""

    decode: str
    mode: str
    resize: dict[str, Any] | None
    crop: dict[str, Any] | None
    rescale_factor: float
    mean: list[float] | None
    std: list[float] | None
    flatten: bool
    kind: str = "image"


class Numbers(Struct, frozen=True):
    """How numbers become the input: less `mean`, divided by `std`."""

    shape: list[int]
    dtype: str
    minimum: float | None
    maximum: float | None
    mean: Scale | None
    std: Scale | None
    kind: str = "tensor"


class Meaning(Struct, frozen=True):
    """How raw outputs are read."""

    task: str
    activation: str | None = None
    top_k: int | None = None
    labels: list[str] | None = None
    names: list[str] | None = None
    mean: Scale | None = None
    std: Scale | None = None


class Preprocessing(Struct, frozen=True):
    """The whole file."""

    model: str
    version: str
    file: str
    input: Port
    prepare: list[Picture | Numbers]
    """One for each kind of input that the model takes; empty where its own task.py prepares them."""
    output: Port
    meaning: Meaning


def own_preparation(task: Task) -> bool:
    """Whether the model's own task.py prepares inputs, which nothing here can describe."""
    return type(task).prepare is not Task.prepare


def finish_of(task: Task) -> str:
    """One of KNOWN's keys; the name of the model's own class where that reads the outputs."""
    return next(
        (name for name, kind in KNOWN.items() if type(task).finish is kind.finish), type(task).__name__
    )


def prepare(handler: Handler) -> list[Picture | Numbers]:
    """Every kind of input that the recipe declares."""
    if own_preparation(handler.task):
        return []
    return [
        _picture(one) if isinstance(one, ImageInput) else _numbers(one)
        for one in handler.recipe.handler.inputs
    ]


def _picture(declared: ImageInput) -> Picture:
    return Picture(
        "the first frame, turned upright as EXIF says, 8 bits a channel (16-bit grey divided by 257), "
        "without transparency",
        declared.mode,
        _resize(declared),
        _crop(declared),
        declared.rescale_factor,
        _told(declared.mean),
        _told(declared.std),
        declared.flatten,
    )


def _resize(declared: ImageInput) -> dict[str, Any] | None:
    size = declared.resize
    if size is UNSET:
        return None
    how = {"interpolation": declared.interpolation, "antialias": True, "library": declared.backend}
    if isinstance(size, int):
        return {"shorter_side": size, "longer_side": "rounded down", **how}
    return {"height": size[0], "width": size[1], **how}


def _crop(declared: ImageInput) -> dict[str, Any] | None:
    size = declared.crop
    if size is UNSET:
        return None
    height, width = (size, size) if isinstance(size, int) else size
    return {"height": height, "width": width, "from": "centre, halves rounded to even", "beyond": 0}


def _numbers(declared: TensorInput) -> Numbers:
    low, high, mean, std = declared.minimum, declared.maximum, declared.mean, declared.std
    return Numbers(declared.shape, declared.dtype, _told(low), _told(high), _told(mean), _told(std))


def meaning(handler: Handler) -> Meaning:
    """As the task reads outputs; of a model's own task just its class."""
    task, output = handler.task, handler.recipe.handler.output
    read = finish_of(task)
    if isinstance(task, Classify) and read == "classify":
        return Meaning(read, "sigmoid" if task.sigmoid else "softmax", task.top_k, task.labels)
    if read == "regress":
        return Meaning(read, names=_told(output.names), mean=_told(output.mean), std=_told(output.std))
    return Meaning(read)


def _told(value: Any | UnsetType) -> Any:
    return None if value is UNSET else value


def layout(handler: Handler, rank: int) -> str:
    """The field's letters for the input's dimensions, where pictures give them a meaning."""
    image = handler.recipe.handler.image_input()
    return "NCHW" if image is not None and rank == 4 and not own_preparation(handler.task) else ""
