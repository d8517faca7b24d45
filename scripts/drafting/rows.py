"""Modules called 0, 1, 2...: a Sequential where they chain, with what the missing numbers must have been."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from msgspec.structs import replace

from scripts.drafting.joints import Joint, activated_between, joint
from scripts.drafting.parts import Argument, Layer, Part, Row, Signal, fill, head, tail

WIDEST_GAP = 8
"""Modules without parameters in a row; with more missing, the numbers are names and no positions."""

ASSUMED = "assumed"


def row_of(parts: dict[int, Part], *, outermost: bool) -> Row | None:
    """The modules in rising order as a Sequential, else a ModuleList; None where many numbers are missing.

    `outermost`: the network itself, whose input comes straight from the caller.
    """
    numbers = [-1, *parts]
    if any(after - before > WIDEST_GAP for before, after in pairwise(numbers)):
        return None
    chained = _chained(parts, outermost=outermost)
    if chained is None:
        return listed(parts)
    return _sequential(chained, sure=outermost or not _needs_activations(parts))


def _sequential(items: list[Part], *, sure: bool) -> Row:
    real = [item for item in items if not (isinstance(item, Layer) and item.role == "fill")]
    takes, gives = _takes(real[0]), _gives(real[-1])
    if not sure:
        return Row("ModuleList", tuple(items), takes, gives)
    return Row("Sequential", tuple(items), takes, gives)


def listed(parts: dict[int, Part]) -> Row:
    """A ModuleList of them: nothing tells how they are called."""
    last = max(parts)
    items = [parts.get(number) or fill("Identity", confirm=ASSUMED) for number in range(last + 1)]
    return Row("ModuleList", tuple(items))


def _chained(parts: dict[int, Part], *, outermost: bool) -> list[Part] | None:
    """The items with the gaps between them filled; None when some two don't follow each other."""
    first = min(parts)
    items: list[Part] = list(_leading(first, parts[first], outermost=outermost))
    for here, there in pairwise(parts):
        before, after = parts[here], parts[there]
        found = joint(_gives(before), _takes(after))
        gap = there - here - 1
        if found is None or (found.how != "straight" and gap == 0):
            return None
        items.append(activated(before) if gap == 0 and activated_between(before, after) else before)
        items += _filled(gap, found, before, after)
    return [*items, parts[max(parts)]]


def activated(part: Part) -> Part:
    """A Sequential with the ReLU that must have ended it; anything else as it is."""
    if not isinstance(part, Row) or part.kind != "Sequential":
        return part
    *rest, last = part.items
    if isinstance(last, Row):
        return replace(part, items=(*rest, activated(last)))
    return replace(part, items=(*part.items, fill("ReLU", confirm=ASSUMED)))


def _leading(count: int, first: Part, *, outermost: bool) -> Iterator[Part]:
    """What stood before the first that has tensors: Flatten before a network's first Linear, else unknown."""
    takes = _takes(first)
    for number in range(count):
        flat = outermost and number == count - 1 and takes is not None and takes.space == "features"
        yield fill("Flatten" if flat else "Identity", confirm=ASSUMED)


def _filled(gap: int, found: Joint, before: Part, after: Part) -> list[Part]:
    """As many modules as numbers are missing, in the order in which they are usually written."""
    if gap == 0:
        return []
    active = tail(before) in ("weighted", "norm") and head(after) != "activation"
    reshaping = _reshaping(found, gap - 1 if active else gap)
    room = gap - len(reshaping)
    likely = [fill("ReLU", confirm=ASSUMED)] if active else []
    gives = _gives(before)
    if gives is not None and gives.space == "maps" and not _is_backwards(before):
        likely.append(fill(f"MaxPool{gives.dims}d", 2, confirm=ASSUMED))
    likely.append(fill("Dropout", confirm=ASSUMED))
    likely += [fill("Identity", confirm=ASSUMED)] * gap
    return [*likely[:room], *reshaping]


def _reshaping(found: Joint, room: int) -> list[Part]:
    """Pooling to the size that the next layer was made for, and Flatten; one module where one is missing."""
    if found.how == "pool":
        pool = fill(f"AdaptiveAvgPool{found.dims}d", found.side, confirm=_sized(found))
        flatten = fill("Flatten", confirm=ASSUMED)
        return [pool, flatten] if room > 1 else [Row("Sequential", (pool, flatten))]
    if found.how == "unflatten":
        sizes = (found.width, *[found.side] * found.dims)
        return [replace(fill("Unflatten", 1, confirm=ASSUMED), arguments=_unflatten(sizes))]
    return []


def _unflatten(sizes: tuple[int, ...]) -> tuple[Argument, ...]:
    return (Argument("", 1, positional=True), Argument("", sizes, positional=True))


def _sized(found: Joint) -> str:
    size = "x".join([str(found.side)] * found.dims)
    return f"pooling; {found.width} channels of {size} are flattened"


def _needs_activations(parts: dict[int, Part]) -> bool:
    """Several layers with weights and no number left for what must stand between them: a ModuleList."""
    every = list(parts.values())
    weighted = [part for part in every if isinstance(part, Layer) and part.role == "weighted"]
    full = list(parts) == list(range(len(parts))) and all(isinstance(part, Layer) for part in every)
    active = any(tail(part) == "activation" for part in every)
    return full and len(weighted) > 1 and not active and not any(part.grouped for part in weighted)


def _is_backwards(part: Part) -> bool:
    return isinstance(part, Layer) and part.kind.startswith("ConvTranspose")


def _takes(part: Part) -> Signal | None:
    return None if _uncallable(part) else part.takes


def _gives(part: Part) -> Signal | None:
    return None if _uncallable(part) else part.gives


def _uncallable(part: Part) -> bool:
    """A ModuleList has no forward, so nothing flows through it in a row."""
    return isinstance(part, Row) and part.kind != "Sequential"
