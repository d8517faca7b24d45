"""What stands between two layers of a plain chain: nothing, or a change of shape that their widths tell."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from scripts.drafting.parts import Part, Signal, head, tail


class Joint(Struct, frozen=True):
    """straight: equal widths. pool: maps to features, over `side` positions a dimension. unflatten: back."""

    how: Literal["straight", "pool", "unflatten"]
    dims: int = 0
    side: int = 0
    width: int = 0
    """Channels of the maps."""


def joint(before: Signal | None, after: Signal | None) -> Joint | None:
    """How what one layer gives becomes what the next takes; None where the widths don't say.

    features = channels * side ** dims: flattened maps that are equally long in each dimension.
    """
    if before is None or after is None:
        return None
    if before == after:
        return Joint("straight")
    if before.space == "maps" and after.space == "features":
        side = _side(after.width, before.width, before.dims)
        return Joint("pool", before.dims, side, before.width) if side else None
    if before.space == "features" and after.space == "maps":
        side = _side(before.width, after.width, after.dims)
        return Joint("unflatten", after.dims, side, after.width) if side else None
    return None


def activated_between(before: Part, after: Part) -> bool:
    """Whether an activation likely stands there: after a layer with weights, and after its normalisation."""
    return tail(before) in ("weighted", "norm") and head(after) not in ("norm", "activation")


def _side(features: int, channels: int, dims: int) -> int:
    """The length of each dimension, or 0 when it isn't a whole number."""
    if features % channels:
        return 0
    side = round((features // channels) ** (1 / dims))
    return side if channels * side**dims == features else 0
