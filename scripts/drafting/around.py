"""A network built around a published one: a backbone whose head stands beside it -> a model.py with both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import torch
from msgspec.structs import replace
from torch import nn

from scripts.architectures.match import Match
from scripts.drafting.build import root_of
from scripts.drafting.builder import build, builder_call, function_lines
from scripts.drafting.changes import answering, doubts, in_order, outputs
from scripts.drafting.classes import classes_of
from scripts.drafting.draft import Draft
from scripts.drafting.names import plain
from scripts.drafting.parts import Block, Layer, Part, Role, Signal
from scripts.drafting.replacement import place_of, replacement
from scripts.drafting.taken import Taken, gives, taken
from scripts.drafting.tree import grow
from scripts.drafting.unknowns import ENDING, clauses
from scripts.drafting.unpublished import told_of, written

FUNCTION = "backbone"
"""What builds the published network in the drafted file."""


def draft_around(match: Match, state: Mapping[str, torch.Tensor], file: str = "the checkpoint") -> Draft:
    """The published network by its builder, what is beside it from names and shapes; `match` is a part.

    The class loads `state`, without match.left_out, strictly. Its forward is drafted where the one takes
    what the other gives. Raises BadCheckpoint.
    """
    net, path = build(match), match.prefix.removesuffix(".")
    mine = {
        match.form.own(name[len(match.prefix) :]): one
        for name, one in state.items()
        if name.startswith(match.prefix)
    }
    took = taken(net, match, mine)
    inside = set(took.module.modules())
    changed = [one for one in in_order(net, match.changed) if net.get_submodule(one) in inside]
    parts = {one: replacement(net, one, mine) for one in changed}
    classes, whole = classes_of(Block("", entries=tuple(parts.items())))
    calls = {place_of(net, one): part for one, part in whole.entries} if isinstance(whole, Block) else {}
    known = _layer(match, took, _given(net, match, parts, took))
    left_out = set(match.left_out)
    rest = {name: one for name, one in state.items() if name not in left_out}
    root = root_of(grow(rest, path), {path: known})
    about = f"As the checkpoint has it: a picture{f' -> {told_of(known.gives)}' if known.gives else ''}."
    draft = written(
        root,
        (*_joined(path, known, clauses(root, rest)), *doubts(parts), *match.unknown),
        file,
        f"A network around {match.library}'s {match.builder},",
        classes,
        function_lines(f"{FUNCTION}()", about, builder_call(match, {}), calls, took.code),
    )
    return replace(draft, channels=match.channels)


def _given(net: nn.Module, match: Match, parts: Mapping[str, Part], took: Taken) -> Signal | None:
    """What comes out: as its own new head says, else by trying it without the head that is gone."""
    answer = answering(net, match)
    if answer in parts and not _is_gone(parts[answer]):
        width = outputs(net, answer, parts, match)
        return None if width is None else Signal("features", width)
    for path, part in parts.items():
        if _is_gone(part):
            parent, _, name = path.rpartition(".")
            setattr(net.get_submodule(parent), name, nn.Identity())
    return gives(took.module, net, match)


def _is_gone(part: Part) -> bool:
    return isinstance(part, Layer) and part.kind == "Identity"


def _layer(match: Match, took: Taken, given: Signal | None) -> Layer:
    """The published network as a module of the larger one: it takes a picture."""
    *_, last = took.module.modules()
    role: Role = "norm" if isinstance(last, nn.BatchNorm2d) else "network"  # DenseNet's own ReLU comes after
    return Layer(FUNCTION, (), role, Signal("maps", match.channels or 3, 2), given, own=True)


def _joined(path: str, known: Layer, doubts: Iterable[str]) -> Iterator[str]:
    """Those of the larger network; what ends it is among the match's own."""
    assumed = "a ReLU is" if known.role == "norm" else "no activation is"
    yield f"what stands between {plain(path)} and the rest: {assumed} assumed"
    yield from (clause for clause in doubts if clause != ENDING)
