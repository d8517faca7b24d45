"""Normalisations, and learnt scales: all a vector or two of one width, so neighbours and names decide."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from scripts.drafting.parts import Layer, Role, Signal, Value, call
from scripts.drafting.place import Place
from scripts.drafting.tree import Shape

STATISTICS = {"running_mean", "running_var"}
AFFINE = {"weight", "bias"}
GROUPS = 32
"""Of GroupNorm in its paper, and in most code since (https://arxiv.org/abs/1803.08494)."""


def norm(shapes: Mapping[str, Shape], place: Place) -> Layer | None:
    """BatchNorm by its statistics; else LayerNorm, GroupNorm or InstanceNorm by name and place."""
    kept = shapes.keys() - {"num_batches_tracked"}
    if shapes.keys() >= STATISTICS and kept <= STATISTICS | AFFINE and len(shapes["running_mean"]) == 1:
        return _batch_norm(shapes, place)
    if shapes.keys() == AFFINE and shapes["weight"] == shapes["bias"] and shapes["weight"]:
        return _affine(shapes["weight"], place)
    return None


def scale(shapes: Mapping[str, Shape], place: Place) -> Layer | None:
    """A vector without bias: PReLU by name or after a convolution, else RMSNorm."""
    if shapes.keys() != {"weight"} or len(shapes["weight"]) != 1:
        return None
    (width,) = shapes["weight"]
    if width == 1 or place.named("relu|act") or (place.dims and not place.named("norm|ln|rms")):
        signal = place.before if width in (1, place.before.width if place.before else 1) else None
        return _layer(
            call("PReLU", **({} if width == 1 else {"num_parameters": width})), "activation", signal
        )
    return _layer(call("RMSNorm", width), "norm", Signal("features", width), "RMSNorm or LayerNorm, eps")


def _batch_norm(shapes: Mapping[str, Shape], place: Place) -> Layer:
    (width,) = shapes["running_mean"]
    kind = "InstanceNorm" if place.named(r"^in\d*$|inst") else "BatchNorm"
    named: dict[str, Value] = {}
    if kind == "InstanceNorm":
        named = {**({"affine": True} if "weight" in shapes else {}), "track_running_stats": True}
    elif "weight" not in shapes:
        named = {"affine": False}
    dims = place.dims or 1
    signal = Signal("maps", width, place.dims) if place.dims else Signal("features", width)
    return _layer(call(f"{kind}{dims}d", width, **named), "norm", signal)


def _affine(shape: Shape, place: Place) -> Layer:
    if len(shape) > 1:
        return replace(call("LayerNorm", normalized_shape=shape), confirm=("eps",))
    (width,) = shape
    maps = Signal("maps", width, place.dims) if place.dims and not place.tokens else None
    if place.named(r"^in\d*$|inst") and maps:
        return _layer(call(f"InstanceNorm{place.dims}d", width, affine=True), "norm", maps, "InstanceNorm")
    if place.named("ln|layer_?norm") or maps is None:
        return _layer(call("LayerNorm", width), "norm", Signal("features", width), "LayerNorm, eps")
    groups = GROUPS if width % GROUPS == 0 else 1
    return _layer(call("GroupNorm", groups, width), "norm", maps, "GroupNorm, number of groups")


def _layer(made: Layer, role: Role, signal: Signal | None, confirm: str = "") -> Layer:
    return replace(made, role=role, takes=signal, gives=signal, confirm=(confirm,) if confirm else ())
