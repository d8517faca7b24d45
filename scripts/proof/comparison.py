"""How far two answers to the same input are from each other, as callers see them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from handlers.recipe import Tolerance


class Gap(Struct, frozen=True):
    """One place where two answers can differ."""

    where: str
    expected: Any
    got: Any
    size: float
    """The absolute difference of two numbers; infinite where anything else differs."""

    def within(self, tolerance: Tolerance) -> bool:
        if self.size in (0.0, float("inf")):
            return self.size == 0.0
        return bool(self.size <= tolerance.absolute + tolerance.relative * abs(self.expected))

    def told(self, by: str) -> str:
        """As a sentence; `by` says whose the expected one is."""
        return f"{self.where} is {_shown(self.got)}, {by} {_shown(self.expected)}"


def gaps(expected: Any, got: Any, where: str = "") -> Iterator[Gap]:
    """Every number of two decoded answers, and whatever else is not the same in both.

    Predictions are compared class by class: classes of nearly equal scores may change places.
    """
    match expected, got:
        case {"predictions": [*classes]}, {"predictions": [*others]} if _are_predictions(classes, others):
            yield from _predictions(classes, others, where)
        case dict(), dict() if expected.keys() == got.keys():
            for key in expected:
                yield from gaps(expected[key], got[key], f"{where}.{key}".lstrip("."))
        case list(), list() if len(expected) == len(got):
            for index, (one, other) in enumerate(zip(expected, got, strict=True)):
                yield from gaps(one, other, f"{where}[{index}]")
        case (bool(), _) | (_, bool()):
            yield Gap(where, expected, got, 0.0 if expected is got else float("inf"))
        case ((int() | float()), (int() | float())):
            yield Gap(where, expected, got, abs(float(expected) - float(got)))
        case _:
            yield Gap(where or "the answer", expected, got, 0.0 if expected == got else float("inf"))


def _are_predictions(*lists: Sequence[Any]) -> bool:
    return all(
        isinstance(one, dict) and {"label", "index", "score"} <= one.keys() for each in lists for one in each
    ) and all(lists)


def _predictions(
    expected: Sequence[Mapping[str, Any]], got: Sequence[Mapping[str, Any]], where: str
) -> Iterator[Gap]:
    """Class by class. One that only one side lists has at most the lowest score of the other's list."""
    ours, theirs = ({one["index"]: one for one in side} for side in (expected, got))
    lowest, lowest_theirs = (min(one["score"] for one in side) for side in (expected, got))
    for index in [*ours, *(index for index in theirs if index not in ours)]:
        one, other = ours.get(index), theirs.get(index)
        label = (one or other or {})["label"]
        place = f"{where}.score of {label!r}".lstrip(".")
        if one is not None and other is not None:
            if one["label"] != other["label"]:
                yield Gap(f"label of class {index}", one["label"], other["label"], float("inf"))
            yield Gap(place, one["score"], other["score"], abs(one["score"] - other["score"]))
        elif one is not None:
            yield Gap(place, one["score"], lowest_theirs, max(0.0, one["score"] - lowest_theirs))
        elif other is not None:
            yield Gap(place, lowest, other["score"], max(0.0, other["score"] - lowest))


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
