"""Label maps: the names of a network's outputs, as training code keeps them beside the weights."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from handlers.inert import Foreign
from scripts.inspection import arrays

NAMED = re.compile(r"class|label|categor|^(target_)?names$|(idx|id|ix|index)_?(to|2)_", re.IGNORECASE)
"""Keys that hold them: class_to_idx, idx_to_name, classes, class_names, CLASSES, id2label, names, ..."""

LONG = 200
"""Characters of a key; hostile ones have millions."""

PLACEHOLDER = re.compile(r"LABEL_[0-9]+\Z")
"""What transformers calls classes that nobody named."""

MOST = 100_000
"""Labels; beyond that it is no classifier's map but a vocabulary."""


def labels(key: str, value: object) -> tuple[str, ...]:
    """In the order of the outputs, if the entry `key` is a complete map of them (0 to n - 1); else ()."""
    if not NAMED.search(key[:LONG]):
        return ()
    if isinstance(value, Foreign):  # a dict's or a list's subclass keeps its entries there
        value = dict(_plain_pairs(value)) if value.pairs else value.items or arrays.items(value)
    if isinstance(value, Mapping):
        return _of_mapping(value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return _of_sequence(value)
    return ()


def _plain_pairs(value: Foreign) -> list[tuple[object, object]]:
    return [(name, item) for name, item in value.pairs if isinstance(name, str | int)]


def _of_mapping(value: Mapping[object, object]) -> tuple[str, ...]:
    """Of name -> index, or of index -> name (the index a number, or digits as JSON leaves them)."""
    if not value or len(value) > MOST:
        return ()
    if all(isinstance(name, str) and _is_index(index) for name, index in value.items()):
        return _in_order([(index, name) for name, index in value.items()])
    return _in_order([(_index(index), name) for index, name in value.items()])


def _of_sequence(value: Sequence[object]) -> tuple[str, ...]:
    """Of names in order, or of records that have an `id` and a `name`."""
    if not value or len(value) > MOST:
        return ()
    if all(isinstance(one, Mapping) for one in value):
        records = [one for one in value if isinstance(one, Mapping)]
        return _in_order([(one.get("id"), one.get("name")) for one in records])
    return _in_order(list(enumerate(value)))


def _in_order(pairs: Sequence[tuple[object, object]]) -> tuple[str, ...]:
    """The names by index; () unless there is a name for each of 0 to n - 1 and nothing else."""
    by_index = {index: name for index, name in pairs if _is_index(index)}
    ordered = [by_index.get(index) for index in range(len(pairs))]
    names = tuple(name for name in ordered if isinstance(name, str) and name.strip())
    named = len(names) == len(pairs) and not all(map(PLACEHOLDER.match, names))
    return names if named else ()


def _is_index(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _index(value: object) -> object:
    return int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,6}", value) else value
