"""The pictures that are sent, and those that int8 calibrates on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data
from sklearn.datasets import load_digits

SENT = (640, 480)
QUALITY = 90
DIGITS = 64


def photo(folder: Path) -> Path:
    """A JPEG of a cat, as large as a small photo."""
    path = folder / "chelsea-640x480.jpg"
    cat = data.chelsea()  # type: ignore[no-untyped-call]
    Image.fromarray(cat).resize(SENT, Image.Resampling.BICUBIC).save(path, quality=QUALITY)
    return path


def digits(folder: Path) -> None:
    """Pictures of what parity_resnet18 was trained for."""
    folder.mkdir(parents=True)
    for index, digit in enumerate(load_digits().images[:DIGITS]):
        Image.fromarray(np.round(digit * 255 / 16).astype(np.uint8)).save(folder / f"{index:03}.png")
