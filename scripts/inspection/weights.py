"""Weights: the state dicts inside an opened checkpoint, the likeliest first, and what else is in there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice

import torch
from msgspec import Struct

from handlers import checkpoint
from handlers.checkpoint import StateDict
from handlers.inert import Foreign
from scripts.inspection.labels import labels
from scripts.inspection.modules import module_state
from scripts.inspection.opened import Opened
from scripts.inspection.summaries import attributes, counted, plain, summary

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

LABELS_DEPTH = 3
"""How deep label maps are looked for: hyper_parameters.cfg.class_to_idx."""


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
    described = [(key, value) for key, value in opened.metadata.items() if key != "format"]
    beside = [*described, *_beside(opened.root, taken)]
    model = attributes(held_at(opened.root, chosen.key))
    return [extra for key, value in beside for extra in _extras(key, value)] + [
        Extra(key, _labels_line(names), names) for key, names in _deeper_labels(model, "")
    ]


def _found(root: object) -> Iterator[Weights]:
    """Those at most DEPTH entries deep; what holds none is opened once, however often it is referred to."""
    seen: set[int] = set()
    waiting: list[tuple[str | None, object, int]] = [(None, root, DEPTH)]
    while waiting:
        key, value, depth = waiting.pop()
        state = None if plain(value) or id(value) in seen else _state(value)
        if state:
            yield Weights(key, checkpoint.without_wrappers(state), _wrappers(state))
        elif isinstance(value, Mapping) and depth and id(value) not in seen:
            seen.add(id(value))
            named = [(name, item) for name, item in value.items() if isinstance(name, str)]
            inner = [(name if key is None else f"{key}.{name}", item, depth - 1) for name, item in named]
            waiting += reversed(inner)


def _state(value: object) -> StateDict | None:
    """The tensors of a state dict or of a pickled module; None of anything else."""
    if isinstance(value, Foreign):
        return module_state(value)
    if not checkpoint.is_state_dict(value):
        return None
    return {name: item for name, item in value.items() if isinstance(item, torch.Tensor)}


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
    if not isinstance(value, Mapping) or None in taken:
        return
    for name, item in value.items():
        key = f"{prefix}{name}"
        if any(one.startswith(f"{key}.") for one in taken if one):
            yield from _beside(item, taken, f"{key}.")
        elif key not in taken:
            yield key, item


def _extras(key: str, value: object) -> Iterator[Extra]:
    names = labels(key.rpartition(".")[2], value)
    yield Extra(key, _labels_line(names) if names else summary(value), names)
    if not names:
        for inner, found in _deeper_labels(attributes(value), f"{key}."):
            yield Extra(inner, _labels_line(found), found)


def _deeper_labels(held: Mapping[object, object], prefix: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(dotted key, labels) of the label maps among what is held, each object looked at once."""
    seen: set[int] = set()
    waiting = [(prefix, held, LABELS_DEPTH)]
    while waiting:
        before, inside, depth = waiting.pop(0)
        for name, item in inside.items():
            if not isinstance(name, str) or plain(item) or id(item) in seen:
                continue
            seen.add(id(item))
            names = labels(name, item)
            if names:
                yield f"{before}{name}", names
            elif depth > 1:
                waiting.append((f"{before}{name}.", attributes(item), depth - 1))


def _labels_line(names: tuple[str, ...]) -> str:
    first = ", ".join(summary(name) for name in names[:3])
    return f"{counted(len(names), 'label')}: {first}{', ...' if len(names) > 3 else ''}"
