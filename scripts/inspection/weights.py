"""Weights: the state dicts inside an opened checkpoint, the likeliest first, and what else is in there."""

from __future__ import annotations

from msgspec import Struct

from handlers.checkpoint import StateDict


class Weights(Struct, frozen=True):
    """One state dict of a checkpoint."""

    key: str | None
    """Dotted, as handler.weights_key takes it ("model_ema", "ema.module"); None: the file itself."""
    state: StateDict
    """Under the names that it had before DataParallel, compile or averaging."""
    wrappers: tuple[str, ...] = ()
    """What was taken off: "DataParallel", "torch.compile", "AveragedModel"."""


class Extra(Struct, frozen=True):
    """Something beside the weights: `epoch` 12, `optimizer` of 161 tensors, 37 labels in `class_to_idx`."""

    key: str
    summary: str
    labels: tuple[str, ...] = ()
    """In the order of the outputs, where this is a label map."""
