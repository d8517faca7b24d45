"""What a task's answer is: JSON for most callers, named tensors for those of the Open Inference Protocol."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import Struct

Array = npt.NDArray[Any]
"""bool, numbers, or objects that are `bytes`."""


class Answer(Struct, frozen=True):
    """Base of the answers that tasks give; its fields are the JSON object that callers read."""

    def tensors(self) -> dict[str, Array]:
        """The same as tensors of one item, in the order in which they are listed; all items have the same."""
        raise NotImplementedError


class Prediction(Struct, frozen=True):
    """One class: its label, its index in the network's output, its score between 0 and 1."""

    label: str
    index: int
    score: float


class Classification(Answer, frozen=True):
    """{"predictions": [...]}, best first."""

    predictions: list[Prediction]

    def tensors(self) -> dict[str, Array]:
        """label, index and score, each [classes that are told]."""
        labels = [one.label.encode("utf-8", "replace") for one in self.predictions]
        return {
            "label": np.array(labels, dtype=object),
            "index": np.array([one.index for one in self.predictions], dtype=np.int64),
            "score": np.array([one.score for one in self.predictions], dtype=np.float32),
        }


class Regression(Answer, frozen=True, omit_defaults=True):
    """{"values": [...]}, with {"names": [...]} where the recipe names them."""

    values: list[float]
    names: list[str] = []

    def tensors(self) -> dict[str, Array]:
        """values [values]."""
        return {"values": np.array(self.values, dtype=np.float32)}


class Values(Answer, frozen=True):
    """{"output": nested lists, "shape": [...]}"""

    output: Any
    shape: list[int]

    def tensors(self) -> dict[str, Array]:
        """output, in its own shape."""
        return {"output": np.array(self.output, dtype=np.float32).reshape(self.shape)}
