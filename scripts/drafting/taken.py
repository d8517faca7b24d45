"""Taken: what a larger network took of a published one, and what comes out of it."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable

import torch
from msgspec import Struct
from torch import nn

from scripts.architectures.match import Match
from scripts.drafting.parts import Signal

SIDE = 224
INCEPTION_SIDE = 299
"""Pixels of the picture that a network is tried with, where it doesn't say which it takes."""


class Taken(Struct, frozen=True):
    """All of it, or some of its modules one after the other."""

    code: str
    """With `net` for the published network."""
    module: nn.Module


def taken(net: nn.Module, match: Match, names: Iterable[str]) -> Taken:
    """By the form of the match; `names` are those in the checkpoint, as the builder calls them."""
    if match.form.taken:
        return Taken(f"net.{match.form.taken}", net.get_submodule(match.form.taken))
    if not match.form.children:
        return Taken("net", net)
    every = list(net.children())
    cut = _cut(net, {name.partition(".")[0] for name in names})
    kept = f"[:-{cut}]" if cut else ""
    return Taken(f"nn.Sequential(*list(net.children()){kept})", nn.Sequential(*every[: len(every) - cut]))


def _cut(net: nn.Module, present: Collection[str]) -> int:
    """How many of the last children are gone: from the first that should have tensors and has none."""
    built = {name.partition(".")[0] for name in net.state_dict()}
    children = [name for name, _ in net.named_children()]
    last = max(number for number, name in enumerate(children) if name in present)
    gone = [number for number, name in enumerate(children) if number > last and name in built]
    return len(children) - gone[0] if gone else 0


def gives(module: nn.Module, net: nn.Module, match: Match) -> Signal | None:
    """What the module of `net` gives for a picture, computed without memory; None where that is no tensor.

    Their parameters are moved to the meta device.
    """
    usual = INCEPTION_SIDE if match.builder.startswith("inception") else SIDE
    timm = getattr(net, "default_cfg", {}).get("input_size", (3, usual, usual))
    side = match.args.get("img_size") or getattr(net, "image_size", timm[-1])
    with torch.device("meta"), torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            given = module.to("meta").eval()(torch.empty(2, match.args.get("in_chans", 3), side, side))
        except (RuntimeError, ValueError, TypeError, AssertionError):  # NotImplementedError is the first's
            return None
    if not isinstance(given, torch.Tensor) or given.dim() not in (2, 4):
        return None
    return Signal("maps" if given.dim() == 4 else "features", given.shape[1], 2 if given.dim() == 4 else 0)
