"""One builder held against a checkpoint: its arguments solved, what differs compared and judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from handlers import mismatch
from handlers.mismatch import Mismatch, Shape
from scripts.architectures import replaced
from scripts.architectures.beside import beside, for_training_alone
from scripts.architectures.fingerprint import Fingerprint, Rule, counted, owner, values, within
from scripts.architectures.form import Form, forms
from scripts.architectures.match import Fit, Match
from scripts.architectures.saved import Saved, View

RESEMBLES = 0.3
"""Of a builder's names, how many a checkpoint has when a closer look is worth it."""

KEPT = 0.5
"""Of a builder's tensors, how many stand as they were when only modules of it were replaced."""


class Compared(Struct, frozen=True):
    """A builder with arguments against a checkpoint."""

    args: dict[str, Any]
    wanted: dict[str, Shape]
    difference: Mismatch
    beside: tuple[str, ...]
    changed: tuple[str, ...] | None
    """Modules that hold all that differs inside the network; None when it can't be told by modules."""


def fitted(fingerprint: Fingerprint, saved: Saved) -> Match | None:
    """How the builder fits, the best way of all; None when it hardly resembles the checkpoint."""
    match = _by_names(fingerprint, saved, Form())
    if match is not None and match.fit != "near":
        return match
    if match is None or not match.changed:
        return _taken_apart(fingerprint, saved) or _in_order(fingerprint, saved) or match
    return _taken_apart(fingerprint, saved) or match


def _taken_apart(fingerprint: Fingerprint, saved: Saved) -> Match | None:
    """As a part whose modules have other names in the larger network."""
    for form in forms(fingerprint.children):
        first = form.within(fingerprint.names[0])
        match = _by_names(fingerprint, saved, form) if first in saved.prefixes else None
        if match is not None and match.fit == "part":
            return match
    return None


def _prefix(fingerprint: Fingerprint, saved: Saved, form: Form) -> str | None:
    """Behind which most of its names are found; None when too few are."""
    names = fingerprint.names if form == Form() else filter(None, map(form.within, fingerprint.names))
    votes = Counter(prefix for name in names for prefix in saved.prefixes.get(name, ()))
    if not votes:
        return None
    prefix, number = max(votes.items(), key=lambda item: item[1])
    enough = RESEMBLES * len(counted(dict.fromkeys(fingerprint.names, ())))
    return prefix if number >= enough else None


def _by_names(fingerprint: Fingerprint, saved: Saved, form: Form) -> Match | None:
    prefix = _prefix(fingerprint, saved, form)
    if prefix is None:
        return None
    view = saved.behind(prefix, form)
    found = _compared(fingerprint, view, solved(fingerprint, view.shapes))
    head = next((module for module in found.changed or () if _answers(fingerprint, module)), None)
    if head is not None:  # its size is what the checkpoint says, or what the builder gives when it has none
        args = {key: value for key, value in found.args.items() if key != "num_classes"}
        outputs = replaced.outputs(head, view.shapes)
        args |= {} if outputs is None else {"num_classes": outputs}
        found = _compared(fingerprint, view, args)
    return Match(
        fingerprint.library,
        fingerprint.builder,
        fingerprint.family,
        _fit(fingerprint, found, view),
        share(saved, view.shapes, found.wanted),
        found.difference,
        args=found.args,
        prefix=prefix,
        changed=found.changed or (),
        beside=found.beside,
        form=form,
        channels=replaced.channels(fingerprint.stem, view.shapes),
    )


def _answers(fingerprint: Fingerprint, module: str) -> bool:
    """Whether the last of the heads is in the module."""
    return bool(fingerprint.heads) and within(fingerprint.heads[-1], module)


def _compared(fingerprint: Fingerprint, view: View, args: dict[str, Any]) -> Compared:
    wanted = fingerprint.shapes_with(args)
    inside = mismatch.compare(view.shapes, wanted)
    strange = beside(inside.unexpected, wanted)
    differing = [*inside.missing, *inside.unexpected, *inside.reshaped]
    changed = replaced.modules(fingerprint, [name for name in differing if name not in set(strange)])
    difference = replace(inside, unexpected={**inside.unexpected, **view.outside})
    return Compared(args, wanted, difference, (*strange, *view.outside), changed)


def _fit(fingerprint: Fingerprint, found: Compared, view: View) -> Fit:
    """By what differs inside the network, and whether what stands beside it is the rest of a larger one."""
    if found.changed is None:
        return "near"
    kept = [name for name in counted(found.wanted) if not any(within(name, one) for one in found.changed)]
    if len(kept) < KEPT * len(counted(found.wanted)):
        return "near"
    if not all(_fed_alike(one, found, view) for one in found.changed if one != fingerprint.stem):
        return "near"  # the head takes something else than what the network gives
    unexpected = found.difference.unexpected
    larger = [name for name in found.beside if not for_training_alone(name, unexpected[name])]
    if larger:
        is_part = fingerprint.family == "classification" and all(name in view.outside for name in larger)
        return "part" if is_part else "near"
    return "changed" if found.changed else "whole"


def _fed_alike(head: str, found: Compared, view: View) -> bool:
    """Whether the first layer of a replaced head takes as many values as the builder's."""
    sides = [replaced.first_layer(head, shapes) for shapes in (view.shapes, found.wanted)]
    return None in sides or len({shape[1] for shape in sides if shape is not None}) == 1


def share(saved: Saved, stripped: Mapping[str, Shape], wanted: Mapping[str, Shape]) -> float:
    """Of the values of both together, how many have the same name and shape."""
    built = counted(wanted)
    common = values(shape for name, shape in built.items() if stripped.get(name) == shape)
    every = saved.total + values(built.values()) - common
    return common / every if every else 0.0


def solved(fingerprint: Fingerprint, shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """The builder's arguments as these shapes say; of heads that disagree the answer's own is believed."""
    told: dict[str, tuple[int, int]] = {}
    for rule in fingerprint.rules:
        value = _value(fingerprint, rule, shapes)
        module = owner(fingerprint.names[rule.tensor])
        rank = fingerprint.heads.index(module) if module in fingerprint.heads else 0
        if value is not None and rank >= told.get(rule.argument, (0, 0))[0]:
            told[rule.argument] = rank, value
    found = {argument: value for argument, (_, value) in told.items()}
    said = {
        key: value
        for key, value in found.items()
        if key in ALWAYS_SAID or value != fingerprint.defaults.get(key)
    }
    return {**fingerprint.args, **said}


ALWAYS_SAID = frozenset({"num_classes", "representation_size"})
"""The one because it is worth saying, the other because its default is to have no such layer."""


def _value(fingerprint: Fingerprint, rule: Rule, shapes: Mapping[str, Shape]) -> int | None:
    """The argument that gives one dimension; None where other dimensions differ too."""
    built = fingerprint.shapes[rule.tensor]
    shape = shapes.get(fingerprint.names[rule.tensor], ())
    if len(shape) != len(built) or not 0 <= rule.dim < len(shape):
        return None
    if shape[: rule.dim] != built[: rule.dim] or shape[rule.dim + 1 :] != built[rule.dim + 1 :]:
        return None
    return rule.value(shape[rule.dim])


def _in_order(fingerprint: Fingerprint, saved: Saved) -> Match | None:
    """The same shapes one after the other, under other names."""
    names = list(counted(dict.fromkeys(fingerprint.names, ())))
    if len(names) != len(saved.counted):
        return None
    renamed = dict(zip(names, saved.counted.values(), strict=True))
    args = solved(fingerprint, renamed)
    wanted = fingerprint.shapes_with(args)
    if counted(wanted) != renamed:
        return None
    return Match(
        fingerprint.library,
        fingerprint.builder,
        fingerprint.family,
        "order",
        share(saved, saved.shapes, wanted),
        mismatch.compare(saved.shapes, wanted),
        args=args,
        channels=replaced.channels(fingerprint.stem, renamed),
    )
