"""Seeded random inputs, as the network gets them: by the task's own preparation, like what callers send."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from msgspec import UNSET
from PIL import Image

from handlers.handler import Handler
from handlers.recipe import ImageInput, TensorInput
from handlers.wire import EncodedImage, Item, Numbers

Values = npt.NDArray[np.float32] | npt.NDArray[np.int64]

SIDE = 224
"""Pixels of a picture where neither recipe nor samples say a size."""

LARGER = (32, 64)
"""By how much (height, width) the other size differs, where a network takes any: multiples of its strides."""

SMOOTH = 8
"""Of every other picture only each so-manieth pixel is random, what lies between is interpolated."""

LARGEST_INDEX = 1
"""Of int64 inputs without `maximum` and without samples: what every embedding has."""


def drawn(handler: Handler, items: Sequence[Item], count: int) -> list[torch.Tensor]:
    """Prepared inputs, the same in each run, of every kind that the recipe takes; `items` are the samples'.

    What the task refuses is left out.
    """
    rng = np.random.default_rng(0)
    prepared = []
    for item in made(handler, items, count, rng):
        try:
            prepared.append(handler.task.prepare(item))
        except Exception:  # the owner's own preparation may want more than noise
            continue
    return [one for one in prepared if isinstance(one, torch.Tensor)]


def made(handler: Handler, items: Sequence[Item], count: int, rng: np.random.Generator) -> Iterator[Item]:
    """So many of every kind that the recipe takes, as callers would send them."""
    model = handler.recipe.handler
    image, numbers = model.image_input(), model.tensor_input()
    known = [item.values for item in items if isinstance(item, Numbers)]
    for index in range(count):
        if image is not None:
            height, width = _size(image, handler, items, other=index % 4 > 1)
            yield EncodedImage(_picture(image, height, width, rng, smooth=index % 2 == 1))
        if numbers is not None:
            yield Numbers(_numbers(numbers, known, rng))


def _size(image: ImageInput, handler: Handler, items: Sequence[Item], *, other: bool) -> tuple[int, int]:
    """(height, width) before the recipe resizes and crops; another one, too, where it takes any."""
    fixed = image.crop if image.crop is not UNSET else image.resize
    if isinstance(fixed, list):
        return fixed[0], fixed[1]
    side = fixed if isinstance(fixed, int) else SIDE
    if not image.any_size:
        return side, side
    first = next((item for item in items if isinstance(item, EncodedImage)), None)
    height, width = (side, side) if first is None else handler.task.prepare(first).shape[-2:]
    return (height + LARGER[0], width + LARGER[1]) if other else (height, width)


def _picture(image: ImageInput, height: int, width: int, rng: np.random.Generator, *, smooth: bool) -> bytes:
    """A PNG of noise, which convolutions amplify; or of soft colours, as photos have."""
    grain = SMOOTH if smooth else 1
    shape = (-(-height // grain), -(-width // grain), *((3,) if image.channels == 3 else ()))
    noise = Image.fromarray(rng.integers(0, 256, shape, np.uint8))
    stream = io.BytesIO()
    noise.resize((width, height), Image.Resampling.BICUBIC).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def _numbers(
    declared: TensorInput, known: Sequence[Values], rng: np.random.Generator
) -> npt.NDArray[np.float32] | npt.NDArray[np.int64]:
    """Within the recipe's bounds; without them, around the samples."""
    low = -np.inf if declared.minimum is UNSET else declared.minimum
    high = np.inf if declared.maximum is UNSET else declared.maximum
    if declared.dtype == "int64":
        return _indices(declared, low, high, known, rng)
    if np.isfinite([low, high]).all():
        return rng.uniform(low, high, declared.shape).astype(np.float32)
    mean, std = np.float64(0), np.float64(1)
    if known:
        mean, std = known[int(rng.integers(len(known)))], np.std(np.stack(known)) or std
    elif declared.mean is not UNSET and declared.std is not UNSET:
        mean, std = np.asarray(declared.mean), np.asarray(declared.std)
    values: npt.NDArray[np.float64] = mean + std * rng.normal(0, 1, declared.shape)
    return values.clip(low, high).astype(np.float32)


def _indices(
    declared: TensorInput, low: float, high: float, known: Sequence[Values], rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Any that the recipe allows; without a maximum, each place's own of the samples: a column's index may
    be none of another column."""
    least = int(low) if np.isfinite(low) else 0
    if np.isfinite(high):
        return rng.integers(least, int(high), declared.shape, np.int64, endpoint=True)
    if not known:
        return rng.integers(least, max(least, LARGEST_INDEX), declared.shape, np.int64, endpoint=True)
    picked = rng.integers(0, len(known), (1, *declared.shape))
    values: npt.NDArray[np.int64] = np.take_along_axis(np.stack(known), picked, axis=0)[0].astype(np.int64)
    return values
