"""A published architecture's builder: called without memory for weights, and as code that calls it."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from handlers.errors import BadCheckpoint
from handlers.meta import WithoutWeights
from scripts.architectures.match import Match
from scripts.drafting.parts import Part
from scripts.drafting.text import Call, call_of, lines_of

PACKAGES = {
    "classification": "models",
    "detection": "models.detection",
    "segmentation": "models.segmentation",
    "video": "models.video",
    "optical flow": "models.optical_flow",
}
"""Where torchvision keeps the builders of a family."""

CLASSES = "num_classes"


def build(match: Match) -> nn.Module:
    """The builder's own network, without memory for its weights; raises BadCheckpoint."""
    reason: Exception | None = None
    for mode in (WithoutWeights(), torch.device("meta")):  # some of timm's can be built in one of them alone
        try:
            with mode, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return _built(match)
        except (RuntimeError, TypeError, ValueError, AssertionError) as error:
            reason = error
    raise BadCheckpoint(
        f"{match.library}'s {match.builder} can't be built with {match.args}: {reason}",
        hint="bring the code that trained it: init --from-model MODULE:FACTORY",
    )


def _built(match: Match) -> nn.Module:
    make: Any = importlib.import_module("timm" if match.library == "timm" else "torchvision")
    callee, first, options = _called(match)
    for step in callee.split(".") if match.library == "torchvision" else callee.split(".")[1:]:
        make = getattr(make, step)
    network: nn.Module = make(*first, **options, **match.args)
    return network


def _called(match: Match) -> tuple[str, tuple[str, ...], dict[str, Any]]:
    """What is called, with which arguments before those of the match; nothing may be downloaded."""
    if match.library == "timm":
        return "timm.create_model", (match.builder,), {"pretrained": False}
    options: dict[str, Any] = {"weights": None}
    if match.family in ("detection", "segmentation"):
        options["weights_backbone"] = None
    if match.builder in ("inception_v3", "googlenet"):
        options["init_weights"] = False  # else both warn that their slow initialisation will change
    return f"{PACKAGES[match.family]}.{match.builder}", (), options


def builder_call(match: Match, given: Mapping[str, Any]) -> Call:
    """The code that does the same; `given` in place of the match's own arguments."""
    callee, first, options = _called(match)
    named = [f"{name}={value}" for name, value in {**options, **match.args, **given}.items()]
    return Call(callee, (*(f'"{one}"' for one in first), *named))


def function_lines(
    signature: str, about: str, call: Call, changes: Mapping[str, Part], result: str = "net"
) -> Iterator[str]:
    """A function of the draft: the builder called, modules of its network replaced, `result` returned."""
    yield from ("", "", f"def {signature} -> nn.Module:", f'    """{about}"""')
    if not changes and result == "net":
        yield from lines_of(call, 4, before="return ")
        return
    yield from lines_of(call, 4, before="net = ")
    for place, part in changes.items():
        yield from lines_of(call_of(part), 4, before=f"{place} = ")
    yield f"    return {result}"
