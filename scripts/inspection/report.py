"""Report: all that `inspect` tells of a checkpoint; what `--json` prints."""

from __future__ import annotations

from msgspec import Struct

from handlers.checkpoint import SAVE_AGAIN
from handlers.errors import BadCheckpoint, listed
from scripts.inspection.fitting import Architecture
from scripts.inspection.groups import Row, by_module
from scripts.inspection.health import Health, examine
from scripts.inspection.kinds import kind, pickled_class
from scripts.inspection.opened import Format, Opened
from scripts.inspection.printable import printable
from scripts.inspection.summaries import attributes, summary
from scripts.inspection.tensors import Line, Totals, lines, totals
from scripts.inspection.weights import Extra, Weights, choices, extras


class Safety(Struct, frozen=True):
    """Whether a worker can load the file; it was found without executing anything of it."""

    loadable: bool
    """By torch.load(weights_only=True), torch.jit.load or safetensors, whichever the format needs."""
    imports: tuple[str, ...]
    """Dotted names that its pickles refer to."""
    refused: tuple[str, ...]
    """Those that weights_only refuses: loading the file otherwise would import and may run them."""
    pickled: str | None
    """The class of the module that was pickled whole, if it was."""


class Choice(Struct, frozen=True):
    """One state dict of the file."""

    key: str | None
    """For handler.weights_key and --key; null: the file itself."""
    averaged: bool
    """Whether it is an average over training (EMA, SWA)."""
    wrappers: tuple[str, ...]
    tensors: int
    parameters: int


class Report(Struct, frozen=True):
    """What a checkpoint is and holds. Names are the file's own, whatever characters they have."""

    file: str
    format: Format
    size: int
    """Bytes."""
    kind: str
    """A sentence."""
    notes: tuple[str, ...]
    safety: Safety
    weights: tuple[Choice, ...]
    """Every state dict, the likeliest first."""
    chosen: str | None
    """The key of the one that the rest of the report is about."""
    extras: tuple[Extra, ...]
    """What is beside the weights; `labels` in the order of the outputs."""
    totals: Totals
    modules: tuple[Row, ...]
    tensors: tuple[Line, ...]
    health: Health
    architecture: Architecture | None
    """null: it wasn't asked for, or the file carries its own."""
    next: str
    """A command that takes it further; empty where there is none."""


def choose(opened: Opened, key: str | None) -> Weights:
    """The weights under `key`, else the likeliest; raises BadCheckpoint where there are none."""
    found = choices(opened)
    if not found:
        raise _without_weights(opened)
    for one in found:
        if key in (None, one.key):
            return one
    keys = ", ".join(printable(one.key) for one in found if one.key)
    raise BadCheckpoint(
        f"{opened.path}: has no weights under {key!r}",
        hint=f"--key may be one of: {keys}" if keys else "leave out --key",
    )


def report(opened: Opened, chosen: Weights, architecture: Architecture | None, following: str) -> Report:
    """Everything but the architecture is found here; `following` is the next command."""
    table = lines(chosen.state)
    beside = extras(opened, chosen)
    return Report(
        file=str(opened.path),
        format=opened.format,
        size=opened.size,
        kind=kind(opened, chosen, beside),
        notes=opened.notes,
        safety=Safety(opened.loadable, opened.imports, opened.refused, pickled_class(opened, chosen)),
        weights=tuple(map(_choice, choices(opened))),
        chosen=chosen.key,
        extras=tuple(beside),
        totals=totals(table),
        modules=tuple(by_module(table)),
        tensors=tuple(table),
        health=examine(chosen.state),
        architecture=architecture,
        next=following,
    )


def _choice(weights: Weights) -> Choice:
    held = totals(lines(weights.state))
    return Choice(weights.key, weights.averaged, weights.wrappers, held.tensors, held.parameters)


def _without_weights(opened: Opened) -> BadCheckpoint:
    """The refusal, which names what loading would run, where there is such a thing."""
    if opened.refused:
        names = listed((printable(name) for name in opened.refused), 6)
        return BadCheckpoint(
            f"{opened.path}: holds no weights, and loading it would import and may run {names} "
            "(nothing of it was executed)",
            hint="ask whoever made it for a state dict, and don't load this one",
        )
    told = summary(opened.root)
    if "param_groups" in attributes(opened.root):
        told = f"an optimizer's state ({told})"
    return BadCheckpoint(f"{opened.path}: holds no weights, but {told}", hint=SAVE_AGAIN)
