"""Weights: the state dicts inside an opened checkpoint, the likeliest first, and what else is in there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

import torch
from msgspec import Struct

from handlers import checkpoint
from handlers.checkpoint import StateDict
from scripts.inspection.beside import Descriptions
from scripts.inspection.modules import module_state
from scripts.inspection.opened import Opened
from scripts.inspection.reading import config
from scripts.inspection.summaries import attributes, entries, plain

TRAINING = re.compile(r"optim|sched|scaler|criterion|(^|_)loss|callbacks|(^|_)rng", re.IGNORECASE)
"""Entries whose tensors are training's own: not offered as weights beside others."""

AVERAGES = {"ema", "swa", "avg", "average", "averaged", "shadow", "polyak"}
"""Words in the keys of averaged weights: model_ema, state_dict_ema, swa."""

DEPTH = 2
"""How many entries deep weights are looked for, as handlers.checkpoint does."""

MOST = 64
"""State dicts of one file; a file may refer to one of them a million times."""

LONG = 200
"""Characters of a key that its words are looked for in; hostile ones have millions."""

MOST_BESIDE = 200
"""Entries beside the weights that are looked at."""


class Weights(Struct, frozen=True):
    """One state dict of a checkpoint."""

    key: str | None
    """Dotted, as handler.weights_key takes it ("model_ema", "ema.module"); None: the file itself."""
    state: StateDict
    """Under the names that it had before DataParallel, compile or averaging."""
    wrappers: tuple[str, ...] = ()
    """What was taken off: "DataParallel", "torch.compile", "AveragedModel"."""

    @property
    def averaged(self) -> bool:
        """Whether it is an average over training steps: what training code that keeps one evaluates."""
        words = set(re.split(r"[._]", (self.key or "").lower()))
        return "AveragedModel" in self.wrappers or bool(words & AVERAGES)


class Extra(Struct, frozen=True):
    """Something beside the weights: `epoch` 12, `optimizer` of 161 tensors, 37 labels in `class_to_idx`."""

    key: str
    summary: str
    labels: tuple[str, ...] = ()
    """In the order of the outputs, where this is a label map."""


def choices(opened: Opened) -> list[Weights]:
    """Every state dict in there, at most two entries deep; none: the file holds no weights.

    Those under the keys that training code uses come first, averages behind what they average, else
    the file's order holds.
    """
    found = list(islice(_found(opened.root), MOST))
    weights = [one for one in found if not TRAINING.search((one.key or "")[:LONG])] or found
    return sorted(weights, key=_rank)


def extras(opened: Opened, chosen: Weights) -> list[Extra]:
    """What is beside the weights, in the file's order; label maps deeper inside under their dotted keys."""
    taken = {one.key for one in choices(opened)}
    described: list[tuple[str, object]] = [
        (key, value) for key, value in opened.metadata.items() if key != "format"
    ]
    if opened.config:
        described.append((config.NAME, opened.config))
    beside = [*described, *_beside(opened.root, taken)]
    descriptions = Descriptions()
    found = [one for key, value in beside[:MOST_BESIDE] for one in descriptions.of(key, value)]
    if chosen.key is not None or not entries(opened.root):  # else they are described already
        found += descriptions.inside(held_at(opened.root, chosen.key))
    if len(beside) > MOST_BESIDE:
        found.append(("...", f"and {len(beside) - MOST_BESIDE:,} more entries", ()))
    return [Extra(*one) for one in found]


def _found(root: object) -> Iterator[Weights]:
    """Those at most DEPTH entries deep; what holds none is opened once, however often it is referred to."""
    seen: set[int] = set()
    waiting: list[tuple[str | None, object, int]] = [(None, root, DEPTH)]
    while waiting:
        key, value, depth = waiting.pop()
        state = None if plain(value) or id(value) in seen else _state(value)
        if state:
            yield Weights(key, checkpoint.without_wrappers(state), _wrappers(state))
        elif depth and id(value) not in seen:
            seen.add(id(value))
            named = [(name, item) for name, item in entries(value).items() if isinstance(name, str)]
            inner = [(name if key is None else f"{key}.{name}", item, depth - 1) for name, item in named]
            waiting += reversed(inner)


def _state(value: object) -> StateDict | None:
    """The tensors of a state dict or of a pickled module; None of anything else."""
    held = entries(value)
    if not checkpoint.is_state_dict(held):
        return module_state(value)
    return {name: item for name, item in held.items() if isinstance(item, torch.Tensor)}


def _wrappers(state: StateDict) -> tuple[str, ...]:
    compiled = any("_orig_mod." in name for name in state)
    names = [name.replace("_orig_mod.", "") for name in state]
    averaged = "n_averaged" in names
    inside = all(name.startswith("module.") for name in names if name != "n_averaged")
    worn = {"AveragedModel": inside and averaged, "DataParallel": inside and not averaged}
    return tuple(name for name, on in {**worn, "torch.compile": compiled}.items() if on)


def _rank(weights: Weights) -> tuple[bool, bool]:
    first = (weights.key or "").split(".")[0]
    return bool(first) and first not in checkpoint.WEIGHT_KEYS, weights.averaged


def held_at(root: object, key: str | None) -> object:
    """What lies under a key of `choices`."""
    held = attributes(root)
    if key is None or key in held:
        return root if key is None else held[key]
    first, _, rest = key.partition(".")
    return held_at(held.get(first), rest) if rest else None


def _beside(value: object, taken: set[str | None], prefix: str = "") -> Iterator[tuple[str, object]]:
    """(dotted key, value) of what isn't weights, opening only the mappings that hold some."""
    for name, item in entries(value).items():
        key = f"{prefix}{name}"
        if any(one.startswith(f"{key}.") for one in taken if one):
            yield from _beside(item, taken, f"{key}.")
        elif key not in taken and not (None in taken and _is_weight(key, item)):
            yield key, item


def _is_weight(key: str, item: object) -> bool:
    return isinstance(item, torch.Tensor) or key.endswith("_extra_state")
