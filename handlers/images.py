"""The bytes of a picture -> a float32 tensor [channels, height, width], as the recipe says.

Whatever the picture is (grey, RGBA, palette, 16 bit, CMYK, turned by EXIF), it becomes the recipe's
mode. PIL is the reference. With `backend: tensor` what torchvision decodes to the very same pixels is
decoded there, and resized as a uint8 tensor, which differs from PIL's by at most one grey level (bilinear;
nearest and bicubic differ by more, and stay with PIL).
"""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import torch
import torchvision.io
from msgspec import UNSET
from PIL import ExifTags, Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from handlers import pictures
from handlers.recipe import ImageInput

_MODES = {"L": torchvision.io.ImageReadMode.GRAY, "RGB": torchvision.io.ImageReadMode.RGB}

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes an orientation, by its number in EXIF."""

_ORIENTING_CHUNK = re.compile(rb"eXIf|Raw profile type exif|XML:com\.adobe\.xmp")
"""Where a PNG keeps an orientation; PIL may see it only after the pixels."""


def prepare(content: bytes, recipe: ImageInput) -> torch.Tensor:
    """float32 [channels, height, width] ([channels * height * width] with `flatten`), normalised.

    Raises BadInput for what is no picture, is cut short, or has too many pixels.
    """
    pixels = _pixels(content, recipe).to(torch.float32).mul_(recipe.rescale_factor)
    if recipe.mean is not UNSET and recipe.std is not UNSET:
        pixels.sub_(_per_channel(*recipe.mean)).div_(_per_channel(*recipe.std))
    return pixels.flatten() if recipe.flatten else pixels


@cache
def _per_channel(*values: float) -> torch.Tensor:
    """float32 [channels, 1, 1]; a recipe has two of these, for as long as it is served."""
    return torch.tensor(values)[:, None, None]


def _pixels(content: bytes, recipe: ImageInput) -> torch.Tensor:
    """uint8 [channels, height, width], resized and cropped."""
    image = pictures.opened(content, recipe)
    try:
        if recipe.backend == "tensor" and recipe.interpolation == "bilinear":
            pixels: Image.Image | torch.Tensor = _as_tensor(content, image, recipe)
        else:
            pixels = _as_image(image, recipe)
    except Exception as error:  # decoders of hostile bytes raise anything, from struct.error on
        raise pictures.undecodable(error) from None
    if recipe.resize is not UNSET:
        pixels = functional.resize(
            pixels,
            [recipe.resize] if isinstance(recipe.resize, int) else recipe.resize,
            interpolation=InterpolationMode(recipe.interpolation),
            antialias=True,
        )
    if recipe.crop is not UNSET:
        size = [recipe.crop, recipe.crop] if isinstance(recipe.crop, int) else recipe.crop
        pixels = functional.center_crop(pixels, size)
    return pixels if isinstance(pixels, torch.Tensor) else _to_tensor(pixels)


def _to_tensor(image: Image.Image) -> torch.Tensor:
    """uint8 [channels, height, width]"""
    pixels = np.asarray(image)
    return torch.tensor(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))


def _as_image(image: Image.Image, recipe: ImageInput) -> Image.Image:
    """The first frame, upright, 8 bits a channel, in the recipe's mode."""
    upright = _turned_upright(image)
    if upright.mode.startswith("I"):  # 16-bit grey: PIL would clip it at 255 instead of scaling
        deep = np.asarray(upright).astype(np.float32) / 257
        upright = Image.fromarray(deep.round().clip(0, 255).astype(np.uint8))
    if "transparency" in upright.info:  # colour key or palette alpha: dropped, like an alpha channel
        upright = upright.convert("RGBA")
    return upright if upright.mode == recipe.mode else upright.convert(recipe.mode)


def _turned_upright(image: Image.Image) -> Image.Image:
    """As its orientation tag says. PIL's exif_transpose rewrites other tags too, and fails on odd ones."""
    image.load()  # damage to the pixels is told, damage to the tags isn't
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:
        return image
    method = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if method is None else image.transpose(method)


def _as_tensor(content: bytes, image: Image.Image, recipe: ImageInput) -> torch.Tensor:
    """The same as uint8 [channels, height, width], by torchvision where its pixels equal PIL's."""
    if not _decodes_alike(content, image, recipe):
        return _to_tensor(_as_image(image, recipe))
    encoded = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    pixels: torch.Tensor = torchvision.io.decode_image(encoded, mode=_MODES[recipe.mode])
    return pixels


def _decodes_alike(content: bytes, image: Image.Image, recipe: ImageInput) -> bool:
    """Whether torchvision gives PIL's pixels: what tests/unit/test_images.py found in its corpus."""
    if image.mode not in ("L", "RGB") or (image.mode == "RGB" and recipe.mode == "L"):
        return False  # CMYK and alpha are converted otherwise, and grey is another weighting
    if image.info.keys() & {"exif", "xmp", "transparency"}:
        return False
    if image.format == "PNG":
        depth = content[24]
        return depth == 8 and _ORIENTING_CHUNK.search(content) is None
    if image.format == "WEBP":
        return recipe.mode == "RGB" and not getattr(image, "is_animated", False)
    return image.format == "JPEG"
