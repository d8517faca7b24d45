"""Of modules in place of a builder's own: which of them answers, and what of them is assumed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from torch import nn

from scripts.architectures.match import Match
from scripts.drafting.builder import CLASSES
from scripts.drafting.parts import Layer, Part, Row, parts_of, told
from scripts.drafting.replacement import KEPT, assumed


def in_order(net: nn.Module, paths: Iterable[str]) -> list[str]:
    """The paths as the network has its modules."""
    order = {path: at for at, (path, _) in enumerate(net.named_modules())}
    return sorted(paths, key=order.__getitem__)


def answering(net: nn.Module, match: Match) -> str:
    """Which replaced module gives the answer: the one that holds the network's last weight, if any does."""
    last = [name for name, value in net.state_dict().items() if value.dim() > 1][-1]
    return next((path for path in match.changed if last.startswith(f"{path}.")), "")


def outputs(net: nn.Module, answer: str, parts: Mapping[str, Part], match: Match) -> int | None:
    """How many values come out; of a head that is missing, as many as it took."""
    if not answer:
        return match.args.get(CLASSES)
    layers = [one for one in parts_of(parts[answer]) if isinstance(one, Layer) and one.role != "fill"]
    if layers:
        return layers[-1].gives.width if layers[-1].gives is not None else None
    inside = net.get_submodule(answer).modules()
    return next((int(one.in_features) for one in inside if isinstance(one, nn.Linear)), None)


def forward(parts: Mapping[str, Part]) -> Literal["known", "drafted", "missing"]:
    """Known, unless something was assumed in a replaced module, or has yet to be written."""
    if not all(map(_callable, parts.values())):
        return "missing"
    return "drafted" if any(True for part in parts.values() for _ in assumed(part)) else "known"


def _callable(part: Part) -> bool:
    return told(part) and not (isinstance(part, Row) and part.kind == "ModuleList")


def doubts(parts: Mapping[str, Part]) -> Iterator[str]:
    """Of the replaced modules, a clause each."""
    for path, part in parts.items():
        kinds = list(dict.fromkeys(assumed(part)))
        if not _callable(part):
            yield f"{path}: how its modules are called, which its names don't tell"
        elif kinds:
            yield f"{path}: what stands between its layers; {' and '.join(kinds)} assumed"
        elif any(isinstance(one, Layer) and KEPT in one.confirm for one in parts_of(part)):
            yield f"{path}: what stands between its layers; the builder's own modules are kept"
