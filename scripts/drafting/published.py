"""A published architecture, with the modules that a checkpoint has otherwise -> a model.py that builds it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch

from scripts.architectures.match import Match
from scripts.drafting.builder import CLASSES, build, builder_call, function_lines
from scripts.drafting.changes import answering, doubts, forward, in_order, outputs
from scripts.drafting.classes import classes_of
from scripts.drafting.code import Head, class_lines, module
from scripts.drafting.draft import Draft
from scripts.drafting.parts import Block, Part
from scripts.drafting.replacement import place_of, replacement, sized
from scripts.drafting.unknowns import about_tensors


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
    parts = {path: replacement(net, path, mine) for path in in_order(net, match.changed)}
    classes, whole = classes_of(Block("", entries=tuple(parts.items())))
    calls = {place_of(net, path): part for path, part in whole.entries} if isinstance(whole, Block) else {}
    answer = answering(net, match)
    if answer:
        place = place_of(net, answer)
        calls[place] = sized(calls[place], match.args.get(CLASSES, 0), CLASSES)
    body = [line for one in classes for line in class_lines(one)]
    return Draft(
        source=module(_head(match, parts), [*body, *_function(match, calls)]),
        name="network",
        args=_args(match),
        forward=forward(parts),
        unknown=(*doubts(parts), *match.unknown, *about_tensors(mine)),
        channels=match.channels,
        outputs=outputs(net, answer, parts, match),
    )


def _function(match: Match, calls: Mapping[str, Part]) -> Iterator[str]:
    """`network`: the builder called, and its modules replaced."""
    classes = match.args.get(CLASSES)
    call = builder_call(match, {} if classes is None else {CLASSES: CLASSES})
    parameters = "" if classes is None else f"{CLASSES}: int = {classes}"
    yield from function_lines(f"network({parameters})", _about(match), call, calls)


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
