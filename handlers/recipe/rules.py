"""Rules between keys, which types alone can't hold; each breach is a message with its remedy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from msgspec import UNSET, UnsetType

from handlers.recipe.structs import Model, Recipe, Scale


def contradictions(recipe: Recipe) -> Iterator[str]:
    """What types alone can't tell, each as a message with its remedy."""
    yield from _worker_contradictions(recipe)
    yield from _path_problems(recipe)
    yield from _input_contradictions(recipe.handler)
    yield from _output_contradictions(recipe.handler)
    architecture = recipe.handler.architecture
    if architecture is not UNSET and len(architecture.given) != 1:
        yield "handler.architecture names not one way to build; give one of class, factory and torchvision"


def _worker_contradictions(recipe: Recipe) -> Iterator[str]:
    low, high = recipe.min_workers, recipe.max_workers
    if (low is UNSET) != (high is UNSET):
        given, absent = ("minWorkers", "maxWorkers") if high is UNSET else ("maxWorkers", "minWorkers")
        yield f"{given} is given without {absent}, which TorchServe ignores; give both"
    elif low is not UNSET and high is not UNSET and low > high:
        yield f"minWorkers is {low}, above maxWorkers ({high}); raise maxWorkers or lower minWorkers"


def _path_problems(recipe: Recipe) -> Iterator[str]:
    for key, name in recipe.file_names():
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or "\\" in name:
            yield f"{key} is {name!r}; must be a path inside the model's folder"
        elif name != PurePosixPath(name).as_posix():
            yield f"{key} is {name!r}; write {PurePosixPath(name).as_posix()!r}"
        elif parts[0] in RESERVED:
            yield f"{key} is {name!r}; {parts[0]!r} is taken by the archive itself, choose another name"


RESERVED = frozenset({"handlers", "entry.py", "seal.json", "MAR-INF", "optimised"})
"""Names at the root of an archive that pthserve itself writes."""


def _input_contradictions(model: Model) -> Iterator[str]:
    kinds = [type(part) for part in model.inputs]
    if len(set(kinds)) != len(kinds):
        yield "handler.input lists a kind twice; give each kind (image, tensor) once"
    image = model.image_input()
    if image is not None:
        if (image.mean is UNSET) != (image.std is UNSET):
            yield "handler.input has only one of mean and std; give both or neither"
        yield from _scale_problems("handler.input", image.mean, image.std, image.channels)
        if image.crop is UNSET and not isinstance(image.resize, list) and not image.any_size:
            yield (
                "handler.input gives pictures no fixed size; give crop, or resize as [height, width], "
                "or any_size: true for a network that takes any"
            )
    tensor = model.tensor_input()
    if tensor is not None:
        if (tensor.mean is UNSET) != (tensor.std is UNSET):
            yield "handler.input has only one of mean and std; give both or neither"
        if tensor.dtype == "int64" and tensor.mean is not UNSET:
            yield "handler.input normalises int64; mean and std are for float32"
        yield from _scale_problems("handler.input", tensor.mean, tensor.std, tensor.shape[-1])
        low, high = tensor.minimum, tensor.maximum
        if low is not UNSET and high is not UNSET and low > high:
            yield f"handler.input.minimum is {low}, above maximum ({high}); correct one of them"


def _scale_problems(
    where: str, mean: Scale | UnsetType, std: Scale | UnsetType, last: int | None
) -> Iterator[str]:
    for key, value in (("mean", mean), ("std", std)):
        if isinstance(value, list) and last is not None and len(value) != last:
            yield f"{where}.{key} has {len(value)} values; must be {last}, one for each"
        numbers = [] if value is UNSET else value if isinstance(value, list) else [value]
        if not all(math.isfinite(number) for number in numbers):
            yield f"{where}.{key} is {value}; must be finite"
        elif key == "std" and any(number <= 0 for number in numbers):
            yield f"{where}.std is {value}; must be above 0"


OUTPUT_KEYS: Mapping[str, frozenset[str]] = {
    "classify": frozenset({"labels", "top_k", "activation"}),
    "regress": frozenset({"names", "mean", "std"}),
    "tensor": frozenset(),
}


def _output_contradictions(model: Model) -> Iterator[str]:
    output = model.output
    given = {key for key in output.__struct_fields__ if getattr(output, key) is not UNSET}
    for key in sorted(given - OUTPUT_KEYS.get(model.task, frozenset(output.__struct_fields__))):
        yield f"handler.output.{key} means nothing to the task {model.task}; remove it"
    if (output.mean is UNSET) != (output.std is UNSET):
        yield "handler.output has only one of mean and std; give both or neither"
    names = None if output.names is UNSET else len(output.names)
    yield from _scale_problems("handler.output", output.mean, output.std, names)
