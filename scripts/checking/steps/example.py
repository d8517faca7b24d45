"""Inputs to try a network on, as it gets them: the first sample, or something of the declared size."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from handlers import golden
from handlers.recipe import ImageInput, TensorInput
from handlers.wire import EncodedImage, Item, Numbers
from scripts.checking.steps.trial import NotTried, Trial

FACTORS = (1, -1, 0.5)
"""By which real numbers are multiplied: their order is nothing to a mean, their sign nothing to a square."""


def example(trial: Trial) -> tuple[str, torch.Tensor]:
    """(what it is, one prepared input); raises NotTried where nothing says its size."""
    name, item = _item(trial)
    return name, trial.task.prepare(item)


def _item(trial: Trial) -> tuple[str, Item]:
    if trial.model.samples:
        sample = trial.model.samples[0]
        trial.require(sample.input)
        return sample.input, golden.request(trial.recipe, trial.folder, sample).items[0]
    numbers, image = trial.model.tensor_input(), trial.model.image_input()
    if numbers is not None:
        return "random numbers", Numbers(random_numbers(numbers))
    if image is None or image.any_size:
        raise NotTried("pictures may have any size here; a sample would say which")
    return "a grey gradient", EncodedImage(grey_picture(image))


def random_numbers(declared: TensorInput) -> npt.NDArray[np.float32] | npt.NDArray[np.int64]:
    """Values between minimum and maximum, else between 0 and 1; indices without a maximum are all 0."""
    low = declared.minimum if isinstance(declared.minimum, (int, float)) else 0
    given = declared.maximum if isinstance(declared.maximum, (int, float)) else None
    rng = np.random.default_rng(0)
    if declared.dtype == "int64":
        high = low if given is None else given
        return rng.integers(int(low), int(high), declared.shape, np.int64, endpoint=True)
    return rng.uniform(low, low + 1 if given is None else given, declared.shape).astype(np.float32)


def grey_picture(declared: ImageInput) -> bytes:
    """A PNG with a gradient, of the size that resizing or cropping makes anyway."""
    size = declared.crop if isinstance(declared.crop, (int, list)) else declared.resize
    height, width = size if isinstance(size, list) else (size, size)
    assert isinstance(height, int)
    assert isinstance(width, int)
    gradient = np.linspace(0, 255, height * width).reshape(height, width).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(gradient).save(stream, "PNG")
    return stream.getvalue()


def neighbours(one: torch.Tensor, count: int) -> list[torch.Tensor]:
    """Others made of its values: in another order, and of another sign or size; indices also one for all.

    They may be none that the network takes: a column's index in another column, say.
    """
    if one.is_floating_point():
        return [one.roll(shift + 1, -1) * FACTORS[shift % len(FACTORS)] for shift in range(count)]
    values = one.flatten()
    return [
        torch.full_like(one, int(values[shift // 2 % len(values)])) if shift % 2 else one.roll(shift + 1, -1)
        for shift in range(count)
    ]
