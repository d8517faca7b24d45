"""A published architecture, with the modules that a checkpoint has otherwise -> a model.py that builds it."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import torch
from torch import nn

from handlers.errors import BadCheckpoint
from handlers.meta import WithoutWeights
from scripts.architectures.match import Match
from scripts.drafting.classes import classes_of
from scripts.drafting.code import Head, class_lines, module
from scripts.drafting.draft import Draft
from scripts.drafting.parts import Block, Layer, Part, Row, parts_of, told
from scripts.drafting.replacement import KEPT, assumed, place_of, replacement, sized
from scripts.drafting.text import Call, call_of, lines_of
from scripts.drafting.unknowns import about_tensors

PACKAGES = {
    "classification": "models",
    "detection": "models.detection",
    "segmentation": "models.segmentation",
    "video": "models.video",
    "optical flow": "models.optical_flow",
}
"""Where torchvision keeps the builders of a family."""

CLASSES = "num_classes"


def draft_known(match: Match) -> Draft:
    """A function that calls the builder with what the shapes say: for a library that recipes can't name."""
    head = Head(
        f"{match.library}'s {match.builder}, as `scripts/pthserve init` told it by names and shapes.", ()
    )
    return Draft(
        source=module(head, list(_function(match, {}))),
        name="network",
        args=_args(match),
        forward="known",
        unknown=match.unknown,
        channels=match.channels,
        outputs=match.args.get(CLASSES),
    )


def draft_changed(match: Match, state: Mapping[str, torch.Tensor]) -> Draft:
    """A function that calls the builder and replaces the modules that the checkpoint has otherwise.

    `state` has the checkpoint's own names, behind match.prefix. What replaces a layer keeps its stride,
    padding and groups; what replaces a head is drafted from its names. Raises BadCheckpoint.
    """
    net, start = build(match), len(match.prefix)
    mine = {name[start:]: one for name, one in state.items() if name.startswith(match.prefix)}
    parts = {path: replacement(net, path, mine) for path in _in_order(net, match.changed)}
    classes, whole = classes_of(Block("", entries=tuple(parts.items())))
    calls = {place_of(net, path): part for path, part in whole.entries} if isinstance(whole, Block) else {}
    answering = _answering(net, match)
    if answering:
        place = place_of(net, answering)
        calls[place] = sized(calls[place], match.args.get(CLASSES, 0), CLASSES)
    body = [line for one in classes for line in class_lines(one)]
    return Draft(
        source=module(_head(match, parts), [*body, *_function(match, calls)]),
        name="network",
        args=_args(match),
        forward=_forward(parts),
        unknown=(*_doubts(parts), *match.unknown, *about_tensors(mine)),
        channels=match.channels,
        outputs=_outputs(net, answering, parts, match),
    )


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
    callee, first, options = _builder(match)
    for step in callee.split(".") if match.library == "torchvision" else callee.split(".")[1:]:
        make = getattr(make, step)
    network: nn.Module = make(*first, **options, **match.args)
    return network


def _builder(match: Match) -> tuple[str, tuple[str, ...], dict[str, Any]]:
    """What is called, with which arguments before those of the match; nothing may be downloaded."""
    if match.library == "timm":
        return "timm.create_model", (match.builder,), {"pretrained": False}
    options: dict[str, Any] = {"weights": None}
    if match.family in ("detection", "segmentation"):
        options["weights_backbone"] = None
    if match.builder in ("inception_v3", "googlenet"):
        options["init_weights"] = False  # else both warn that their slow initialisation will change
    return f"{PACKAGES[match.family]}.{match.builder}", (), options


def _function(match: Match, calls: Mapping[str, Part]) -> Iterator[str]:
    """`network`: the builder called, and its modules replaced."""
    callee, first, options = _builder(match)
    classes = match.args.get(CLASSES)
    given = {**options, **match.args, **({} if classes is None else {CLASSES: CLASSES})}
    named = [f"{name}={value}" for name, value in given.items()]
    call = Call(callee, (*(f'"{one}"' for one in first), *named))
    parameters = "" if classes is None else f"{CLASSES}: int = {classes}"
    yield from ("", "", f"def network({parameters}) -> nn.Module:")
    yield f'    """{_about(match)}"""'
    if not calls:
        yield from lines_of(call, 4, before="return ")
        return
    yield from lines_of(call, 4, before="net = ")
    for place, part in calls.items():
        yield from lines_of(call_of(part), 4, before=f"{place} = ")
    yield "    return net"


def _about(match: Match) -> str:
    """The docstring of `network`: shapes, where the match is sure of them."""
    if match.channels is None or match.family != "classification" or CLASSES not in match.args:
        return f"{match.builder}{' with modules of its own' if match.changed else ''}."
    return f"float32 [N, {match.channels}, height, width] -> logits [N, {CLASSES}]."


def _head(match: Match, changed: Iterable[str]) -> Head:
    first = f"{match.library}'s {match.builder} with modules of its own, drafted by `scripts/pthserve init`."
    rest = (
        f"By names and shapes the checkpoint is {match.builder} but for {' and '.join(changed)}.",
        "Compare what says `confirm` with the code that trained it, then remove the comment.",
    )
    return Head(first, rest)


def _args(match: Match) -> dict[str, Any]:
    """What `network` takes."""
    return {CLASSES: match.args[CLASSES]} if CLASSES in match.args else {}


def _in_order(net: nn.Module, paths: Iterable[str]) -> list[str]:
    order = {path: at for at, (path, _) in enumerate(net.named_modules())}
    return sorted(paths, key=order.__getitem__)


def _answering(net: nn.Module, match: Match) -> str:
    """Which replaced module gives the answer: the one that holds the network's last weight, if any does."""
    last = [name for name, value in net.state_dict().items() if value.dim() > 1][-1]
    return next((path for path in match.changed if last.startswith(f"{path}.")), "")


def _outputs(net: nn.Module, answering: str, parts: Mapping[str, Part], match: Match) -> int | None:
    """How many values come out; of a head that is missing, as many as it took."""
    if not answering:
        return match.args.get(CLASSES)
    layers = [one for one in parts_of(parts[answering]) if isinstance(one, Layer) and one.role != "fill"]
    if layers:
        return layers[-1].gives.width if layers[-1].gives is not None else None
    inside = net.get_submodule(answering).modules()
    return next((int(one.in_features) for one in inside if isinstance(one, nn.Linear)), None)


def _forward(parts: Mapping[str, Part]) -> Literal["known", "drafted", "missing"]:
    """Known, unless something was assumed in a replaced module, or has yet to be written."""
    if not all(map(_callable, parts.values())):
        return "missing"
    return "drafted" if any(True for part in parts.values() for _ in assumed(part)) else "known"


def _callable(part: Part) -> bool:
    return told(part) and not (isinstance(part, Row) and part.kind == "ModuleList")


def _doubts(parts: Mapping[str, Part]) -> Iterator[str]:
    """Of the replaced modules, a clause each."""
    for path, part in parts.items():
        kinds = list(dict.fromkeys(assumed(part)))
        if not _callable(part):
            yield f"{path}: how its modules are called, which its names don't tell"
        elif kinds:
            yield f"{path}: what stands between its layers; {' and '.join(kinds)} assumed"
        elif any(isinstance(one, Layer) and KEPT in one.confirm for one in parts_of(part)):
            yield f"{path}: what stands between its layers; the builder's own modules are kept"
