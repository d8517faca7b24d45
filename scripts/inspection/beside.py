"""What lies beside the weights, in words: each object looked at once, however often the file refers to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import TypeAlias

from scripts.inspection.labels import LONG, NAMED, labels
from scripts.inspection.summaries import attributes, counted, plain, summary

LABELS_DEPTH = 3
"""How deep label maps are looked for: hyper_parameters.cfg.class_to_idx."""

Described: TypeAlias = tuple[str, str, tuple[str, ...]]
"""(dotted key, summary, labels where it is a label map)"""


class Descriptions:
    """Of the entries of one checkpoint, whose objects live as long as this does."""

    def __init__(self) -> None:
        self._summaries: dict[int, str] = {}
        self._labels: dict[int, tuple[str, ...]] = {}
        self._opened: set[int] = set()

    def of(self, key: str, value: object) -> Iterator[Described]:
        """The entry, and the label maps inside it."""
        names = self._names(key.rpartition(".")[2], value)
        yield key, _line(names) if names else self._summary(value), names
        if not names:
            yield from self.inside(value, f"{key}.")

    def inside(self, value: object, prefix: str = "") -> Iterator[Described]:
        """The label maps among what it holds by name, at most LABELS_DEPTH deep."""
        waiting = deque([(prefix, value, LABELS_DEPTH)])
        while waiting:
            before, one, depth = waiting.popleft()
            for name, item in self._entries(one).items():
                names = self._names(name, item) if isinstance(name, str) else ()
                if names:
                    yield f"{before}{name}", _line(names), names
                elif depth > 1 and not plain(item):
                    waiting.append((f"{before}{name}.", item, depth - 1))

    def _entries(self, value: object) -> Mapping[object, object]:
        """Those of an object that wasn't opened before."""
        if id(value) in self._opened:
            return {}
        self._opened.add(id(value))
        return attributes(value)

    def _names(self, name: str, value: object) -> tuple[str, ...]:
        if plain(value) or not NAMED.search(name[:LONG]):
            return ()
        if id(value) not in self._labels:
            self._labels[id(value)] = labels(name, value)
        return self._labels[id(value)]

    def _summary(self, value: object) -> str:
        if plain(value):
            return summary(value)
        if id(value) not in self._summaries:
            self._summaries[id(value)] = summary(value)
        return self._summaries[id(value)]


def _line(names: tuple[str, ...]) -> str:
    first = ", ".join(summary(name) for name in names[:3])
    return f"{counted(len(names), 'label')}: {first}{', ...' if len(names) > 3 else ''}"
