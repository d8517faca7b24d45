"""Many inputs -> requests of some items each, and their answers in the inputs' order.

    arrays of one shape    .npy of one more dimension
    numbers                {"input": [...]}
    pictures               {"image": [{"b64": "..."}, ...]}

What the server finds too large (413: nothing was executed) is halved: what it takes is the recipe's to say.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from scripts.calling import bodies
from scripts.calling.bodies import BYTES, JSON, Body
from scripts.calling.failures import PredictionError
from scripts.calling.typed import Answer

MAGIC = b"\x93NUMPY"


class Many:
    """What is still to be asked, and what was answered."""

    def __init__(self, inputs: Iterable[object], chunk: int) -> None:
        if isinstance(inputs, (str, bytes, bytearray, Mapping)):
            raise TypeError(f"inputs is one {type(inputs).__name__}; give a list of them, or call predict")
        if chunk < 1:
            raise ValueError(f"chunk is {chunk}; must be at least 1")
        array = hasattr(inputs, "__array__") and not isinstance(inputs, (list, tuple))
        self._inputs: Sequence[Any] = bodies.array(inputs) if array else list(inputs)  # type: ignore[assignment]
        if array and not getattr(self._inputs, "ndim", 0):
            raise TypeError("inputs is an array of no dimension; give one with the items in front")
        self._chunk = chunk
        self.answers: list[Answer] = []

    def next(self) -> tuple[Body, int] | None:
        """The next request and how many items it has; None when all are answered."""
        start = len(self.answers)
        part = self._inputs[start : start + self._chunk]
        return (_together(part, start), len(part)) if len(part) else None

    def answered(self, answers: list[Answer]) -> None:
        self.answers += answers

    def refused(self, error: PredictionError, sent: int) -> None:
        """Fewer from now on, where they were too many; else raises it, with indices among all inputs."""
        if error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and sent > 1:
            self._chunk = sent // 2
            return
        if len(self._inputs) > sent:
            start = len(self.answers)
            error.message = f"inputs {start} to {start + sent - 1}: {error.message}"
            error.items = tuple(_moved(item, start) for item in error.items)
        raise error


def _moved(item: Mapping[str, Any], start: int) -> Mapping[str, Any]:
    index = item.get("index")
    return {**item, "index": index + start} if isinstance(index, int) else item


def _together(inputs: Sequence[Any], start: int) -> Body:
    """One body of several inputs; raises what bodies.read does, and TypeError for a mixture."""
    if hasattr(inputs, "__array__"):
        return Body(bodies.npy(bodies.array(inputs)), BYTES)
    found = [_item(value) for value in inputs]
    pictures = [isinstance(item, bytes) for item in found]
    if all(pictures):
        return Body(
            bodies.encoded({"image": [{"b64": base64.b64encode(one).decode()} for one in found]}), JSON
        )
    if any(pictures):
        odd = start + pictures.index(not pictures[0])
        raise TypeError(f"input {start} and input {odd} are a picture and numbers; send them apart")
    arrays = [one for one in found if hasattr(one, "__array__")]
    if len(arrays) == len(found) and len({one.shape for one in arrays}) == 1:
        import numpy as np

        return Body(bodies.npy(np.stack(arrays)), BYTES)
    return Body(bodies.encoded({"input": found}), JSON)


def _item(value: object) -> Any:
    """A picture's bytes, an array, or lists of numbers; what is in a file is told by its beginning."""
    found = bodies.read(value)
    if isinstance(found, bytes) and found.startswith(MAGIC):
        import io

        import numpy as np

        return np.load(io.BytesIO(found), allow_pickle=False)
    if isinstance(found, bytes) and bodies.is_json(found):
        found = msgspec.json.decode(found)
    if isinstance(found, Mapping):
        if found.keys() != {"input"}:
            raise ValueError(
                f"one of many is a JSON object of {', '.join(map(repr, found))}; give numbers or bytes"
            )
        return found["input"]
    return found
