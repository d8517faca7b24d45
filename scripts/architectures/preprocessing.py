"""handler.input drafted for a match: as the published weights that it may have begun with want pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from msgspec import UNSET, UnsetType, structs

from handlers.errors import listed
from handlers.recipe import ImageInput, TensorInput
from scripts.architectures.match import Match
from scripts.architectures.published import Published, published, published_by_hash
from scripts.recipes.decided import Preparation

__all__ = ["Published", "drafted_input", "published", "published_by_hash"]

FIRST = "IMAGENET1K_V1"
"""The weights that tutorials start from, with the preparation that they show."""

USUAL = ImageInput(resize=256, crop=224)
"""Where an architecture has no published weights."""

VIT_SIDE = 224
"""Pixels: torchvision's default image_size, which a match leaves out."""


def drafted_input(match: Match) -> Preparation:
    """Pictures as the likeliest published weights want them, in a vision transformer's own size.

    Of one channel they are grey; of any other number than three they are no pictures, but tensors.
    """
    every = published(match)
    images = {one.name: one.input for one in every if one.input is not None}
    side = _side(match)
    name = _likeliest(every, images, side)
    image = images.get(name, USUAL)
    if side is not None:
        image = _scaled(image, side)
    if match.channels not in (None, 1, 3):
        return _tensor(match.channels or 0, image)
    unknown = [f"all of it: {_origin(match, name, images)}"]
    if match.channels == 1 and image.mean is not UNSET:
        image = _grey(image)
        unknown.append("mean and std: of the one channel, the average of the published three")
    return Preparation(image, assumed=True, unknown=tuple(unknown))


def _side(match: Match) -> int | None:
    """The one size that a vision transformer takes; None for what takes any."""
    told = match.args.get("image_size", match.args.get("img_size"))
    default = match.library == "torchvision" and match.builder.startswith("vit_")
    return told or (VIT_SIDE if default else None)


def _likeliest(every: Sequence[Published], images: Mapping[str, ImageInput], side: int | None) -> str:
    """Of the right size, those that tutorials show; else others of that size, else the default; or ""."""
    fitting = [name for name, image in images.items() if side is None or image.crop == side]
    default = [one.name for one in every if one.default and one.name in images]
    others = default if side is None else [*fitting, *default]
    return next(iter([*(name for name in fitting if name == FIRST), *others, *fitting]), "")


def _scaled(image: ImageInput, side: int) -> ImageInput:
    """The same share of each picture, in another size."""
    height, width = _size(image.crop)
    if (height, width) == (side, side):
        return image
    resize = image.resize
    if isinstance(resize, int):
        resize = round(resize * side / min(height, width))
    elif resize is not UNSET:
        resize = [round(resize[0] * side / height), round(resize[1] * side / width)]
    return structs.replace(image, resize=resize, crop=side)


def _size(crop: int | list[int] | UnsetType) -> list[int]:
    """[height, width]"""
    if isinstance(crop, int):
        return [crop, crop]
    return [VIT_SIDE, VIT_SIDE] if crop is UNSET else crop


def _grey(image: ImageInput) -> ImageInput:
    mean = UNSET if image.mean is UNSET else [round(fmean(image.mean), 4)]
    std = UNSET if image.std is UNSET else [round(fmean(image.std), 4)]
    return structs.replace(image, mode="L", mean=mean, std=std)


def _tensor(channels: int, image: ImageInput) -> Preparation:
    shape = [channels, *_size(image.crop)]
    told = f"shape: {shape}, numbers as they go into the network: a picture has 1 or 3 channels"
    return Preparation(TensorInput(shape=shape), assumed=True, unknown=(told,))


def _origin(match: Match, name: str, images: Mapping[str, ImageInput]) -> str:
    """Where it is from, and what else there would be."""
    if not name:
        return f"{match.library} publishes no weights for {match.builder}: it is the usual one"
    chosen = images[name]
    others = [f"{other} has {_differs(image, chosen)}" for other, image in images.items() if image != chosen]
    told = f"as {match.library}'s {name} for {match.builder} was published"
    return f"{told}; {listed(others, 3)}" if others else told


def _differs(image: ImageInput, chosen: ImageInput) -> str:
    """ "resize 232, interpolation bicubic" """
    every = [(key, getattr(image, key), getattr(chosen, key)) for key in PREPARATION]
    return ", ".join(f"{key} {one}" for key, one, other in every if one != other)


PREPARATION = ("resize", "crop", "interpolation", "mean", "std")
"""The keys of handler.input that published weights decide."""
