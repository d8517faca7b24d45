"""Match: a published architecture that a state dict fits, wholly or nearly."""

from __future__ import annotations

from collections.abc import Sequence
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

FITTING: tuple[Fit, ...] = ("whole", "changed")
"""What a network can be rebuilt from."""


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
    builder's own defaults, and num_classes always, unless the checkpoint has no head."""
    prefix: str = ""
    """Before every one of its names in the checkpoint ("backbone."); handler.strip_prefix takes it."""
    changed: tuple[str, ...] = ()
    """Modules that the checkpoint has otherwise, by the builder's own names: "fc", "conv1". Of a near match
    too, where beside these only what lies outside the network differs: a backbone whose head is elsewhere."""
    beside: tuple[str, ...] = ()
    """Of difference.unexpected, what belongs to no module of the network: a loss's weights, a metric's
    counts; handler.allow_unexpected admits it."""
    channels: int | None = None
    """Of the pictures that it takes; None where the first layer doesn't say."""
    unknown: tuple[str, ...] = ()
    """What shapes can't tell of this one, a clause each."""

    @property
    def servable(self) -> bool:
        """Whether a task of ours reads what it gives."""
        return self.family == "classification"


def best(matches: Sequence[Match]) -> tuple[Match, ...]:
    """The match that fits, with all that tie with it; none: no published architecture does."""
    fitting = [one for one in matches if one.fit in FITTING]
    return tuple(one for one in fitting if (one.fit, one.share) == (fitting[0].fit, fitting[0].share))


def rivals(matches: Sequence[Match]) -> tuple[Match, ...]:
    """Those of `best` that its owner has to choose between: torchvision's, where there are any, because
    the same network under timm's name would only need one more package."""
    ours = tuple(one for one in best(matches) if one.library == "torchvision")
    return ours or best(matches)
