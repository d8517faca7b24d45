"""Layers that multiply features: Linear, Bilinear, and the table lookup of Embedding."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from scripts.drafting.parts import Layer, Signal, call
from scripts.drafting.place import Place
from scripts.drafting.tree import Shape

ROWS = 1_000
WIDTH = 16
"""Of the smallest table that is told by its shape: a first Linear without bias is rarely so."""

TABLES = r"emb|token|vocab|lookup|^wte$|^wpe$"
"""In names of Embedding, which holds the same tensors as Linear without bias."""


def linear(shapes: Mapping[str, Shape], place: Place) -> Layer | None:
    """weight [out, in], bias [out] or none."""
    if not _is_affine(shapes, 2):
        return None
    wide, narrow = shapes["weight"]
    bias = {} if "bias" in shapes else {"bias": False}
    return replace(
        call("Linear", narrow, wide, **bias),
        role="weighted",
        takes=Signal("features", narrow),
        gives=Signal("features", wide),
        confirm=("Linear, not Embedding",) if bias and place.before is None else (),
    )


def embedding(shapes: Mapping[str, Shape], place: Place) -> Layer | None:
    """weight [rows, width], under a name that says so, or long and narrow where a network begins."""
    if shapes.keys() != {"weight"} or len(shapes["weight"]) != 2:
        return None
    rows, width = shapes["weight"]
    if place.named(TABLES):
        return replace(call("Embedding", rows, width), confirm=("Embedding, by its name",))
    if place.first and width >= WIDTH and rows >= max(ROWS, 4 * width):
        return replace(call("Embedding", rows, width), confirm=("Embedding, not Linear",))
    return None


def bilinear(shapes: Mapping[str, Shape], place: Place) -> Layer | None:
    """weight [out, first, second], under a name that says so; Conv1d holds the same."""
    if not _is_affine(shapes, 3) or not place.named("bilin"):
        return None
    out, first, second = shapes["weight"]
    bias = {} if "bias" in shapes else {"bias": False}
    return replace(call("Bilinear", first, second, out, **bias), confirm=("Bilinear, by its name",))


def _is_affine(shapes: Mapping[str, Shape], dims: int) -> bool:
    """A weight of these dimensions, and a bias or none."""
    return "weight" in shapes and shapes.keys() <= {"weight", "bias"} and len(shapes["weight"]) == dims
