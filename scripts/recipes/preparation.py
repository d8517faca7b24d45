"""How inputs are prepared: as asked, as the architecture's weights were published, or as shapes say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import yaml
from PIL import Image

from handlers.pictures import FORMATS
from handlers.recipe import ImageInput, TensorInput
from scripts.errors import CommandError
from scripts.places import shown
from scripts.recipes.decided import Preparation

SIDE = 224
"""Pixels: the usual side of a picture for a network that takes any size, when no sample says more."""

NORMALISATION = "mean and std: pixels come as 0..1 without them; training may have normalised them"


def asked(text: str) -> Preparation:
    """handler.input as the command line gives it; raises CommandError."""
    try:
        given = msgspec.convert(yaml.safe_load(text), ImageInput | TensorInput)
    except (msgspec.ValidationError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise CommandError(
            f"--input is {text!r}: {reason}",
            hint="write it as in the recipe: '{kind: image, resize: 256, crop: 224}' or "
            "'{kind: tensor, shape: [10]}'",
        ) from None
    return Preparation(given, assumed=False)


def from_shapes(channels: int | None, shape: Sequence[int] | None, samples: Sequence[Path]) -> Preparation:
    """What the first layer says (`channels` of pictures, or the `shape` of an item), then the samples."""
    picture = next((size for size in map(_picture, samples) if size is not None), None)
    if channels in (1, 3) or (picture is not None and channels is None and shape is None):
        return _image(1 if channels == 1 else 3, picture)
    flat = _flattened(shape, picture)
    if flat is not None:
        return flat
    numbers = list(shape) if shape else next((found for found in map(_numbers, samples) if found), None)
    if numbers:
        return Preparation(
            TensorInput(shape=numbers),
            assumed=True,
            unknown=("mean and std: numbers go in as they come; training may have standardised them",),
        )
    taken = [channels, SIDE, SIDE] if channels else [1]
    return Preparation(
        TensorInput(shape=taken),
        assumed=True,
        unknown=(f"shape: {taken} is a placeholder, because the shapes don't tell what one item is",),
    )


def _image(channels: int, size: tuple[int, int] | None, *, flatten: bool = False) -> Preparation:
    small = size is not None and (flatten or max(size) <= SIDE)
    height, width = size if small and size else (SIDE, SIDE)
    where = "the first sample's" if small else "a usual one"
    return Preparation(
        ImageInput(mode="L" if channels == 1 else "RGB", resize=[height, width], flatten=flatten),
        assumed=True,
        unknown=(f"size: {height} x {width} is {where}; give the one of training", NORMALISATION),
    )


def _flattened(shape: Sequence[int] | None, size: tuple[int, int] | None) -> Preparation | None:
    """Where the first sample is a picture whose pixels are as many as the numbers that the network takes."""
    if size is None or shape is None or len(shape) != 1:
        return None
    channels = next((count for count in (1, 3) if count * size[0] * size[1] == shape[0]), None)
    return None if channels is None else _image(channels, size, flatten=True)


def _picture(path: Path) -> tuple[int, int] | None:
    """(height, width) of a sample that is a picture."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            return image.height, image.width
    except Exception:  # no picture: PIL raises anything
        return None


def _numbers(path: Path) -> list[int] | None:
    """The shape of a sample that holds the numbers of one item, as .npy or JSON."""
    try:
        if path.suffix == ".npy":
            return list(np.load(path, allow_pickle=False, mmap_mode="r").shape) or None
        body = json.loads(path.read_text(encoding="utf-8"))
        return list(np.asarray(body["input"] if isinstance(body, dict) else body, np.float64).shape) or None
    except FileNotFoundError:
        raise CommandError(f"{shown(path)} isn't there", hint="correct --sample") from None
    except Exception:  # no numbers: whatever the file is
        return None
