"""The inputs that travel with an exported file, in the plainest form, and eager float32's output for each."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Collection
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from handlers.wire import EncodedImage, Numbers
from scripts.exporting.inputs import Input

FOLDER = "samples"

SUFFIXES = {"JPEG": (".jpg", ".jpeg"), "MPO": (".jpg", ".jpeg"), "PNG": (".png",), "WEBP": (".webp",)}
"""What a picture's file may be called; the first is what it gets otherwise."""


def put(one: Input, folder: Path, taken: Collection[str], *, prepared: bool) -> str:
    """Write the input below `folder`, under a name that isn't `taken`; its path there.

    A picture as its own bytes, numbers as a JSON list (an .npy where they were one); `prepared`, where only
    the model's own code can prepare, as the .npy that enters the network.
    """
    content, suffixes = _content(one, prepared=prepared)
    base = re.sub(r"[^A-Za-z0-9_.-]", "_", PurePosixPath(one.name).name)  # it stands in a program's text
    named = base if base.lower().endswith(suffixes) else base + suffixes[0]
    tries = (f"{FOLDER}/{f'{number}-' if number else ''}{named}" for number in range(len(taken) + 1))
    path = next(one for one in tries if one not in taken)
    (folder / path).parent.mkdir(exist_ok=True)
    (folder / path).write_bytes(content)
    return path


def put_output(output: torch.Tensor, bundled: str, folder: Path) -> None:
    """The raw output beside its input."""
    (folder / f"{bundled}.output.npy").write_bytes(_npy(output))


def _content(one: Input, *, prepared: bool) -> tuple[bytes, tuple[str, ...]]:
    """(bytes, the suffixes that they may have)"""
    if prepared:
        return _npy(one.prepared), (".npy",)
    if isinstance(one.item, EncodedImage):
        return one.item.content, _picture_suffixes(one.item.content)
    assert isinstance(one.item, Numbers)  # a sample is never a BadInput
    if one.name.endswith(".npy"):
        return _npy(torch.from_numpy(one.item.values)), (".npy",)
    return _json(one.item), (".json",)


def _json(item: Numbers) -> bytes:
    """The shortest decimals that read back as the same numbers."""
    shortest = np.vectorize(lambda value: float(str(value)), otypes=[np.float64])
    values = item.values if item.values.dtype.kind == "i" else shortest(item.values)
    return (json.dumps(values.tolist()) + "\n").encode()


def _npy(values: torch.Tensor) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values.numpy())
    return stream.getvalue()


def _picture_suffixes(content: bytes) -> tuple[str, ...]:
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        return SUFFIXES[str(image.format)]
