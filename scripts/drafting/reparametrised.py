"""weight_norm and spectral_norm: a weight kept in pieces, whose names tell which wrapped it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

from msgspec.structs import replace

from scripts.drafting.parts import Argument, Layer
from scripts.drafting.tree import Shape

Wrap = Callable[[Layer], Layer]

PIECES: tuple[tuple[str, frozenset[str], str], ...] = (
    ("utils.weight_norm", frozenset({"weight_g", "weight_v"}), "weight_v"),
    ("utils.spectral_norm", frozenset({"weight_orig", "weight_u", "weight_v"}), "weight_orig"),
    (
        "utils.parametrizations.weight_norm",
        frozenset({"parametrizations.weight.original0", "parametrizations.weight.original1"}),
        "parametrizations.weight.original1",
    ),
    (
        "utils.parametrizations.spectral_norm",
        frozenset(f"parametrizations.weight.{name}" for name in ("original", "0._u", "0._v")),
        "parametrizations.weight.original",
    ),
)
"""(function below torch.nn, the names that it leaves, the one with the weight's own shape)"""


def unparametrised(shapes: Mapping[str, Shape]) -> tuple[dict[str, Shape], Wrap]:
    """The shapes that the layer would have unwrapped, and what wraps it again."""
    for function, names, whole in PIECES:
        if names <= shapes.keys():
            bare = {name: shape for name, shape in shapes.items() if name not in names}
            dim = _dim(shapes, function, names, whole)
            return {"weight": shapes[whole], **bare}, functools.partial(_wrapped, function=function, dim=dim)
    return dict(shapes), lambda layer: layer


def _dim(shapes: Mapping[str, Shape], function: str, names: frozenset[str], whole: str) -> int:
    """The dimension along which weight_norm keeps lengths, where it isn't 0."""
    if not function.endswith("weight_norm"):
        return 0
    (lengths,) = names - {whole}
    kept = [at for at, size in enumerate(shapes[lengths]) if size > 1]
    return kept[0] if len(kept) == 1 else 0


def _wrapped(layer: Layer, function: str, dim: int) -> Layer:
    inner = Argument("", replace(layer, confirm=()), positional=True)
    along = (Argument("dim", dim),) if dim else ()
    return replace(layer, kind=function, arguments=(inner, *along))
