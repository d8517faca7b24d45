"""Two answers to one request -> whether they are the same, and if not, how and how far they differ. Pure.

Answers are what JSON decodes to. Numbers are compared at the same place, but scores by their label: that two
near-equal ones have changed places is no more than their difference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeGuard

import numpy as np
from msgspec import Struct

from handlers.recipe import Tolerance

Kind = Literal[
    "equal",
    "serving_silent",
    "candidate_silent",
    "numbers",
    "label",
    "form",
    "status",
    "uncompared",
    "unanswered",
]
"""From the mildest to the worst: no answer from one version alone, which is what one that is unregistered
meanwhile gives to all; numbers beyond the tolerance; another best label; other fields, lengths, types or
texts; another HTTP status; answers over which the comparison itself failed. At last no answer from either
version, which tells nothing."""

Labelled = list[dict[str, Any]]


class Difference(Struct, frozen=True):
    """What came of one comparison."""

    kind: Kind
    largest: float | None = None
    """Between two numbers at the same place; None where no two were compared."""
    what: str = ""
    """Where, and what there was on either side; "" for equal answers."""


def difference(serving: object, candidate: object, tolerance: Tolerance) -> Difference:
    """A number passes when |candidate - serving| <= absolute + relative * |serving|."""
    found = _Found(tolerance)
    found.walk(serving, candidate, "")
    if found.form:
        return Difference("form", found.largest, found.form)
    if found.label:
        return Difference("label", found.largest, found.label)
    return Difference("numbers" if found.beyond else "equal", found.largest, found.beyond)


class _Found:
    """What is known so far of one comparison."""

    def __init__(self, tolerance: Tolerance) -> None:
        self._tolerance = tolerance
        self._excess = 0.0
        self.largest: float | None = None
        self.beyond = self.label = self.form = ""

    def walk(self, a: Any, b: Any, where: str) -> None:
        if _numeric(a) and _numeric(b):
            self._numbers([a], [b], lambda _: where)
        elif _labelled(a) and _labelled(b):
            self._labels(a, b, where)
        elif isinstance(a, dict) and isinstance(b, dict):
            self._fields(a, b, where)
        elif isinstance(a, list) and isinstance(b, list):
            self._elements(a, b, where)
        elif type(a) is not type(b) or a != b:
            self._other_form(where, a, b)

    def _fields(self, a: dict[str, Any], b: dict[str, Any], where: str) -> None:
        if a.keys() != b.keys():
            self._other_form(where, sorted(a), sorted(b))
        for key in (key for key in a if key in b):
            self.walk(a[key], b[key], f"{where}.{key}" if where else key)

    def _elements(self, a: list[Any], b: list[Any], where: str) -> None:
        if len(a) != len(b):
            self._other_form(where, f"{len(a)} elements", f"{len(b)}")
        elif all(map(_numeric, a)) and all(map(_numeric, b)):
            self._numbers(a, b, lambda index: f"{where}[{index}]")
        else:
            for index, (one, other) in enumerate(zip(a, b, strict=True)):
                self.walk(one, other, f"{where}[{index}]")

    def _labels(self, a: Labelled, b: Labelled, where: str) -> None:
        """Scores by label; one that only a side tells lies no higher than the other side's lowest."""
        if len(a) != len(b):
            self._other_form(where, f"{len(a)} labels", f"{len(b)}")
            return
        ours, theirs = ({one["label"]: one for one in side} for side in (a, b))
        lowest, lowest_of_theirs = (min(one["score"] for one in side) for side in (a, b))
        best, best_of_theirs = a[0], b[0]["label"]
        rival = ours[best_of_theirs]["score"] if best_of_theirs in ours else lowest
        if best["label"] != best_of_theirs and best["score"] - rival > self._allowed(best["score"]):
            self.label = self.label or f"{where}: {_shown(best['label'])} and {_shown(best_of_theirs)}"
        labels, scores, said = list(dict.fromkeys([*ours, *theirs])), [], []
        for label in labels:
            mine, other = ours.get(label), theirs.get(label)
            if mine is not None and other is not None and mine.get("index") != other.get("index"):
                self._other_form(f"{where}: index of {label}", mine.get("index"), other.get("index"))
            scores.append(mine["score"] if mine is not None else min(lowest, theirs[label]["score"]))
            said.append(other["score"] if other is not None else min(lowest_of_theirs, scores[-1]))
        self._numbers(scores, said, lambda index: f"{where}: score of {labels[index]}")

    def _numbers(self, a: list[float], b: list[float], where: Callable[[int], str]) -> None:
        """Numbers at the same place; `where` names the one at an index."""
        if not a:
            return
        ours, theirs = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
        away = np.abs(theirs - ours)
        self.largest = max(self.largest or 0.0, float(away.max()))
        excess = away - self._allowed(ours)
        worst = int(excess.argmax())
        if excess[worst] > self._excess:
            self._excess = float(excess[worst])
            self.beyond = f"{where(worst)}: {a[worst]:.6g} and {b[worst]:.6g}"

    def _allowed(self, number: Any) -> Any:
        return self._tolerance.absolute + self._tolerance.relative * np.abs(number)

    def _other_form(self, where: str, a: object, b: object) -> None:
        self.form = self.form or f"{where or 'the answer'}: {_shown(a)} and {_shown(b)}"


def _numeric(one: object) -> TypeGuard[float]:
    return isinstance(one, (int, float)) and not isinstance(one, bool)


def _labelled(one: object) -> TypeGuard[Labelled]:
    """Whether it is a list of {"label": ..., "score": ...}, as classify answers, best first."""
    return (
        isinstance(one, list)
        and bool(one)
        and all(
            isinstance(part, dict) and isinstance(part.get("label"), str) and _numeric(part.get("score"))
            for part in one
        )
        and len({part["label"] for part in one}) == len(one)
    )


def _shown(one: object) -> str:
    text = one if isinstance(one, str) else repr(one)
    return text if len(text) <= 80 else f"{text[:80]}…"
