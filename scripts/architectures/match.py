"""Match: a published architecture that a state dict fits, wholly or nearly."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from msgspec import Struct

from handlers.mismatch import Mismatch

Library: TypeAlias = Literal["torchvision", "timm"]
Family: TypeAlias = Literal["classification", "detection", "segmentation", "video", "optical flow"]
Fit: TypeAlias = Literal[
    "whole",  # every name and shape, with `args`
    "changed",  # all but whole modules that the checkpoint has otherwise: another head, other input channels
    "near",  # some of it
    "order",  # the shapes in order, under other names
]


class Match(Struct, frozen=True):
    """One builder and how it fits. Built with `args`, it differs from the checkpoint by `difference`."""

    library: Library
    builder: str
    family: Family
    fit: Fit
    share: float
    """Of the checkpoint's and the builder's values together, how many have the same name and shape: 0..1."""
    difference: Mismatch
    args: dict[str, Any] = {}
    """What the shapes say: num_classes, image_size, aux_logits and the like; only what differs from the
    builder's own defaults, and num_classes always."""
    prefix: str = ""
    """Before every one of its names in the checkpoint ("backbone."); handler.strip_prefix takes it."""
    changed: tuple[str, ...] = ()
    """Modules that the checkpoint has otherwise, by the builder's own names: "fc", "conv1"."""
    unknown: tuple[str, ...] = ()
    """What shapes can't tell of this one, a clause each."""

    @property
    def servable(self) -> bool:
        """Whether a task of ours reads what it gives."""
        return self.family == "classification"
