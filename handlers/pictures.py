"""A picture's header, read before any pixel is decoded: how large it is, and whether it is worth decoding."""

from __future__ import annotations

import io
import warnings

from PIL import Image

from handlers.errors import BadInput
from handlers.recipe import ImageInput

FORMATS = ("JPEG", "PNG", "WEBP")

MOST_SCANS = 100
"""Passes over the picture in a progressive JPEG. Encoders write about ten; thousands of empty ones make
half a megabyte take half a minute to decode."""

START_OF_SCAN = b"\xff\xda"
"""JPEG's marker, which can't stand in coded pixels."""


def opened(content: bytes, recipe: ImageInput) -> Image.Image:
    """The picture, not decoded yet, within the recipe's limits; raises BadInput."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PIL warns of large pictures, which have their own limit here
            image = Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.DecompressionBombError:
        raise too_large("far too many", recipe) from None
    except Exception as error:  # headers of hostile bytes raise anything, from struct.error on
        raise undecodable(error) from None
    if image.format in ("JPEG", "MPO") and content.count(START_OF_SCAN) > MOST_SCANS:
        raise BadInput(
            f"the JPEG has more than {MOST_SCANS} scans", code="bad_image", hint="save the picture again"
        )
    _check_size(image.size, recipe)
    return image


def pixels(content: bytes, recipe: ImageInput) -> int:
    """Width times height; 0 for what can't be opened, which is told when its turn comes."""
    try:
        width, height = opened(content, recipe).size
    except BadInput:
        return 0
    return width * height


def _check_size(size: tuple[int, int], recipe: ImageInput) -> None:
    """Both the picture and what resizing makes of it (a strip of 1 x 9999 grows) stay within the limit."""
    width, height = size
    most = recipe.max_megapixels * 1e6
    if width * height > most:
        raise too_large(f"{width} x {height}", recipe)
    if isinstance(recipe.resize, int):
        longer = recipe.resize * max(size) / min(size)
        if recipe.resize * longer > most:
            raise too_large(f"{width} x {height} (resized: {longer:.0f} x {recipe.resize})", recipe)


def too_large(shown: str, recipe: ImageInput) -> BadInput:
    return BadInput(
        f"the image has {shown} pixels",
        code="image_too_large",
        hint=f"send at most {recipe.max_megapixels:g} megapixels in a request",
        status=413,
    )


def undecodable(error: Exception) -> BadInput:
    detail = str(error).splitlines()[0] if str(error) else type(error).__name__
    return BadInput(
        f"the image can't be decoded: {_without_addresses(detail)}",
        code="bad_image",
        hint="it may be cut short; send a whole JPEG, PNG or WebP file",
    )


def _without_addresses(detail: str) -> str:
    """PIL names the in-memory file with its address, which tells a caller nothing."""
    return detail.split(" <_io.")[0].split(" '<_io.")[0][:200]
