"""classify: one score for each class -> the best classes with their labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from msgspec import UNSET

from handlers.answers import Classification, Prediction
from handlers.errors import BadRecipe, ForwardFailed
from handlers.recipe import Model
from handlers.tasks.base import Task, shortest

TOP_K = 5


class Classify(Task):
    """Softmax (one class is right) or sigmoid (each class for itself) over raw outputs [classes]."""

    def __init__(self, recipe: Model, folder: Path) -> None:
        super().__init__(recipe, folder)
        self.labels = _labels(recipe, folder)
        self.top_k = TOP_K if recipe.output.top_k is UNSET else recipe.output.top_k
        self.sigmoid = recipe.output.activation == "sigmoid"

    def finish(self, output: torch.Tensor) -> Classification:
        """Raw output [classes] -> the top_k classes; equal scores keep the order of their indices."""
        if output.dim() != 1:
            raise ForwardFailed(
                f"classify needs one score for each class, the network gave the shape {list(output.shape)}",
                hint="use the task tensor, or a task.py of your own",
            )
        if self.labels is not None and len(self.labels) != len(output):
            raise BadRecipe(
                f"handler.output.labels has {len(self.labels)} labels, the network {len(output)} outputs",
                hint="give one label for each output, in the order of training",
            )
        scores = (output.sigmoid() if self.sigmoid else output.softmax(0)).numpy()
        best = np.argsort(-scores, kind="stable")[: self.top_k]
        pairs = zip(best.tolist(), shortest(scores[best]), strict=True)
        return Classification([Prediction(self._label(index), index, score) for index, score in pairs])

    def _label(self, index: int) -> str:
        return str(index) if self.labels is None else self.labels[index]


def _labels(recipe: Model, folder: Path) -> list[str] | None:
    """The recipe's list, or its file's lines; None without either, and classes are named by their index."""
    named = recipe.output.labels
    if isinstance(named, str):
        return read_labels(folder / named)
    return None if named is UNSET else named


def read_labels(path: Path) -> list[str]:
    """A label a line, without the blank lines at the end; raises BadRecipe."""
    try:
        labels = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadRecipe(f"{path}: can't be read ({error})", hint="save it as UTF-8, a label a line") from None
    while labels and not labels[-1].strip():
        labels.pop()
    return [label.strip() for label in labels]
