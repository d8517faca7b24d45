"""Saved: a checkpoint's names and shapes, arranged to be held against many builders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from handlers.mismatch import Shape
from scripts.architectures.fingerprint import counted, values
from scripts.architectures.form import Form

PREFIXES = 32
"""At most so many are tried, those with the most names behind them: a network's own is among them."""

DEEPEST = 12
"""Modules that a network may lie inside of; a hostile name has thousands of dots."""


class View(Struct, frozen=True):
    """A checkpoint, as a builder's network lies behind a prefix in it."""

    shapes: dict[str, Shape]
    """What is behind it, under the builder's names."""
    outside: dict[str, Shape]
    """What isn't."""


class Saved(Struct, frozen=True):
    """What the file holds, and where a network's names could begin in it."""

    shapes: dict[str, Shape]
    counted: dict[str, Shape]
    """Without the counters of BatchNorm."""
    total: int
    """How many values those hold."""
    prefixes: dict[str, list[str]]
    """The rest of a name -> the prefixes before it: "conv1.weight" -> ["model."]."""
    views: dict[tuple[str, Form], View]
    """Those that were asked for."""

    def behind(self, prefix: str, form: Form) -> View:
        """A network of this form behind the prefix."""
        if (prefix, form) not in self.views:
            start = len(prefix)
            inside = {name: shape for name, shape in self.shapes.items() if name.startswith(prefix)}
            self.views[prefix, form] = View(
                {form.own(name[start:]): shape for name, shape in inside.items()},
                {name: shape for name, shape in self.shapes.items() if name not in inside},
            )
        return self.views[prefix, form]


def arranged(shapes: Mapping[str, Shape]) -> Saved:
    """In the file's order."""
    likely = counted(shapes)
    return Saved(dict(shapes), likely, values(likely.values()), _prefixes(likely), {})


def _prefixes(names: Iterable[str]) -> dict[str, list[str]]:
    every = list(names)
    most = Counter(prefix for name in every for prefix in _before(name)).most_common(PREFIXES)
    tried = {prefix for prefix, _ in most}
    found: dict[str, list[str]] = {}
    for name in every:
        for prefix in _before(name):
            if prefix in tried:
                found.setdefault(name[len(prefix) :], []).append(prefix)
    return found


def _before(name: str) -> Iterator[str]:
    """Every prefix of modules, the empty one first."""
    end = 0
    for _ in range(DEEPEST):
        yield name[:end]
        end = name.find(".", end) + 1
        if not end:
            return
