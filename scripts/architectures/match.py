"""Match: a published architecture that a state dict fits, wholly or nearly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from handlers.mismatch import Mismatch
from scripts.architectures.beside import TRAINING
from scripts.architectures.form import Form

Library: TypeAlias = Literal["torchvision", "timm"]
Family: TypeAlias = Literal["classification", "detection", "segmentation", "video", "optical flow"]
Fit: TypeAlias = Literal[
    "whole",  # every name and shape, with `args`
    "changed",  # all but whole modules that the checkpoint has otherwise: another head, other input channels
    "part",  # one of both, inside a larger network: a backbone whose head stands beside it
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
    too, where beside these only what lies outside the network differs."""
    beside: tuple[str, ...] = ()
    """Of difference.unexpected, what belongs to no module of the network: a loss's weights, a metric's
    counts, which handler.allow_unexpected admits; of a part, the rest of the larger network too."""
    form: Form = Form()
    """Of a part, what it is called there, behind `prefix`."""
    channels: int | None = None
    """Of the pictures that it takes; None where the first layer doesn't say."""
    unknown: tuple[str, ...] = ()
    """What shapes can't tell of this one, a clause each."""

    @property
    def left_out(self) -> tuple[str, ...]:
        """Of `beside`, what no network is rebuilt for: of a part, only what training alone needs."""
        return tuple(name for name in self.beside if self.fit != "part" or TRAINING.search(name))

    @property
    def around(self) -> tuple[str, ...]:
        """Of a part, the modules of the larger network beside it, where it is one itself: "head"."""
        outer = self.prefix[: self.prefix.rstrip(".").rfind(".") + 1]
        left_out = set(self.left_out)
        return tuple(dict.fromkeys(_module(name, outer) for name in self.beside if name not in left_out))

    @property
    def servable(self) -> bool:
        """Whether a task of ours reads what it gives."""
        return self.family == "classification"


def _module(name: str, outer: str) -> str:
    """The first module on the way to a tensor, of those inside `outer` where it is in there."""
    inside = outer if name.startswith(outer) else ""
    return inside + name[len(inside) :].partition(".")[0]


def best(matches: Sequence[Match]) -> tuple[Match, ...]:
    """The match that fits, with all that tie with it; none: no published architecture does."""
    fitting = [one for one in matches if one.fit in FITTING]
    return tuple(one for one in fitting if (one.fit, one.share) == (fitting[0].fit, fitting[0].share))


def part(matches: Sequence[Match]) -> Match | None:
    """The published network that the checkpoint's own one is built around, if there is one."""
    return next((one for one in matches if one.fit == "part"), None)


def rivals(matches: Sequence[Match]) -> tuple[Match, ...]:
    """Those of `best` that its owner has to choose between: torchvision's, where there are any, because
    the same network under timm's name would only need one more package."""
    ours = tuple(one for one in best(matches) if one.library == "torchvision")
    return ours or best(matches)
