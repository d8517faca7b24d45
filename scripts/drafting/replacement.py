"""What a checkpoint has in place of a builder's module: the same layer of other sizes, or another head."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from msgspec.structs import replace
from torch import nn

from scripts.drafting.build import Builder
from scripts.drafting.parts import Held, Layer, Part, Row, Signal, Value, call, fill, parts_of
from scripts.drafting.tree import Shape, grow

KEPT = "the builder's own"
"""Of what a replaced Sequential has where the builder's has it too."""

HARMLESS = ("Identity", "Dropout", "Flatten")
"""Fillings that change nothing of features in eval mode."""

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def replacement(net: nn.Module, path: str, state: Mapping[str, torch.Tensor]) -> Part:
    """What stands at `path` in the checkpoint; Identity where it has nothing there."""
    inside = {name: one for name, one in state.items() if name.startswith(f"{path}.")}
    if not inside:
        return fill("Identity")
    original = net.get_submodule(path)
    resized = _resized(original, place_of(net, path), _shapes(inside, path))
    return resized or _rebuilt(net, path, inside)


def place_of(net: nn.Module, path: str) -> str:
    """The module as code: `net.features[0][0]`."""
    place, module = "net", net
    for step in path.split("."):
        numbered = step.isdigit() and isinstance(module, nn.Sequential | nn.ModuleList)
        place += f"[{step}]" if numbered else f".{step}"
        module = getattr(module, step)
    return place


def sized(part: Part, outputs: int, name: str) -> Part:
    """The part with `name` for the number that its last layer gives, where that is `outputs`."""
    if isinstance(part, Row) and part.items and not isinstance(part.items[-1], Held):
        return replace(part, items=(*part.items[:-1], sized(part.items[-1], outputs, name)))
    if not isinstance(part, Layer) or part.role != "weighted" or part.own:
        return part
    into, out, *rest = part.arguments
    return replace(part, arguments=(into, replace(out, value=name), *rest)) if out.value == outputs else part


def assumed(part: Part) -> Iterator[str]:
    """What was filled in that changes an answer, by kind: "ReLU"."""
    for one in parts_of(part):
        fills = isinstance(one, Layer) and one.role == "fill" and KEPT not in one.confirm
        if isinstance(one, Layer) and fills and one.kind not in HARMLESS:
            yield one.kind


def _resized(original: nn.Module, place: str, shapes: Mapping[str, Shape]) -> Layer | None:
    """The builder's own layer with other sizes; None where it is no such layer."""
    weight = shapes.get("weight", ())
    if not shapes.keys() <= {"weight", "bias"}:
        return None
    bias: dict[str, Value] = {} if "bias" in shapes else {"bias": False}
    if isinstance(original, nn.Linear) and len(weight) == 2:
        gives = Signal("features", weight[0])
        return replace(call("Linear", weight[1], weight[0], **bias), role="weighted", gives=gives)
    if isinstance(original, CONVOLUTIONS) and len(weight) == original.weight.dim():
        named = {**_convolved(original, weight[2:]), **bias}
        made = call(type(original).__name__, weight[1] * original.groups, weight[0], **named)
        made = replace(made, role="weighted", gives=Signal("maps", weight[0], len(weight) - 2))
        return made if type(original) in CONVOLUTIONS else replace(made, kind=f"type({place})", own=True)
    return None


def _convolved(original: Any, kernel: Shape) -> dict[str, Value]:
    """What sizes don't say, as the builder's own convolution has it; padding goes with the kernel."""
    kept = kernel == tuple(original.kernel_size)
    padding = original.padding if kept else tuple(size // 2 for size in kernel)
    named: dict[str, Value] = {"kernel_size": _short(kernel)}
    for name, value, default in (
        ("stride", original.stride, 1),
        ("padding", padding, 0),
        ("dilation", original.dilation, 1),
        ("groups", original.groups, 1),
    ):
        if _short(value) != default:
            named[name] = _short(value)
    return named


def _short(sizes: tuple[int, ...] | int | str) -> Value:
    """(2, 2) -> 2; padding by name as code."""
    if isinstance(sizes, tuple):
        return sizes[0] if len(set(sizes)) == 1 else sizes
    return f'"{sizes}"' if isinstance(sizes, str) else sizes


def _rebuilt(net: nn.Module, path: str, inside: Mapping[str, torch.Tensor]) -> Part:
    """Drafted from names and shapes; of a Sequential, what is alike at the same number is kept."""
    root = node = grow(inside)
    for step in path.split("."):
        node = node.children[step]
    part = Builder(root).part(node, outermost=True)
    original = net.get_submodule(path)
    if not isinstance(part, Row) or part.kind != "Sequential" or not isinstance(original, nn.Sequential):
        return part
    shapes, place = _shapes(inside, path), place_of(net, path)
    kept = {
        number: Layer(f"{place}[{number}]", role="fill", confirm=(KEPT,), own=True)
        for number, module in enumerate(original)
        if _alike(module, _shapes(shapes, str(number)))
    }
    return replace(part, items=tuple(kept.get(number, item) for number, item in enumerate(part.items)))


def _alike(module: nn.Module, shapes: Mapping[str, Shape]) -> bool:
    return {name: tuple(one.shape) for name, one in module.state_dict().items()} == shapes


def _shapes(named: Mapping[str, Any], path: str) -> dict[str, Shape]:
    """Those below `path`, under their names from there."""
    return {
        name.removeprefix(f"{path}."): tuple(getattr(one, "shape", one))
        for name, one in named.items()
        if name.startswith(f"{path}.")
    }
