"""Task: the two methods that give a network's tensors their meaning."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from msgspec import UNSET

from handlers.errors import BadInput
from handlers.recipe import Model, TensorInput
from handlers.wire import EncodedImage, Item, Numbers

Scaling: TypeAlias = tuple[torch.Tensor, torch.Tensor]
"""What is taken off an item's values, and what they are divided by."""


class Task(ABC):
    """Derive from this, or from one of the built-in tasks, in models/NAME/task.py."""

    def __init__(self, recipe: Model, folder: Path) -> None:
        self.recipe = recipe
        self.folder = folder
        self._scaling = _scaling(recipe.tensor_input())
        if recipe.image_input() is not None:
            import handlers.images  # noqa: F401  # torchvision, seconds that other models needn't wait for

    def prepare(self, item: Item) -> torch.Tensor:
        """One item -> the network's input on the CPU, without the batch dimension; raises BadInput."""
        if isinstance(item, BadInput):
            raise item
        image, tensor = self.recipe.image_input(), self.recipe.tensor_input()
        if isinstance(item, EncodedImage) and image is not None:
            from handlers import images

            return images.prepare(item.content, image)
        if isinstance(item, Numbers) and tensor is not None:
            return _scaled(item, tensor, self._scaling)
        raise BadInput("this model takes no such input", code="wrong_kind", hint="see the recipe's input")

    @abstractmethod
    def finish(self, output: torch.Tensor) -> object:
        """One raw output (float32 on the CPU, no batch dimension) -> an answer that JSON can hold."""


def shortest(values: npt.NDArray[np.float32]) -> list[float]:
    """float32 [values] -> the shortest decimals that read back as the same: 0.7 and not 0.699999988."""
    return [float(str(value)) for value in values]


def _scaling(tensor: TensorInput | None) -> Scaling | None:
    """The recipe's mean and std, made once: making them takes longer than using them."""
    if tensor is None or tensor.mean is UNSET or tensor.std is UNSET:
        return None
    return torch.tensor(tensor.mean), torch.tensor(tensor.std)


def _scaled(item: Numbers, recipe: TensorInput, scaling: Scaling | None) -> torch.Tensor:
    if not np.isfinite(item.values).all():
        raise BadInput(
            "a value is NaN, infinite, or too large for float32",
            code="not_finite",
            hint="send finite numbers; fill gaps as training did",
        )
    _check_range(item, recipe)
    values = torch.from_numpy(np.array(item.values))  # a copy: an .npy body's own bytes can't be written to
    if scaling is not None:
        mean, std = scaling
        values.sub_(mean).div_(std)
    return values


def _check_range(item: Numbers, recipe: TensorInput) -> None:
    """Raises BadInput for a value beyond the recipe's bounds; costs nothing where it has none."""
    if recipe.minimum is UNSET and recipe.maximum is UNSET:
        return
    low = -np.inf if recipe.minimum is UNSET else recipe.minimum
    high = np.inf if recipe.maximum is UNSET else recipe.maximum
    if not ((item.values >= low) & (item.values <= high)).all():
        raise BadInput(
            f"a value is not between {low:g} and {high:g}",
            code="out_of_range",
            hint="send values in the range that the model was trained on",
        )
