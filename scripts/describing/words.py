"""What to send, in a person's words, from the recipe."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET

from handlers.recipe import ImageInput, Model, TensorInput


def words(model: Model) -> str:
    """All forms that the model takes: "a picture (JPEG, PNG or WebP), ...; or float32 numbers of ..."."""
    told = [_picture(one) if isinstance(one, ImageInput) else _numbers(one) for one in model.inputs]
    return "; or ".join(told)


def _picture(image: ImageInput) -> str:
    steps = [f"read as {'grey' if image.mode == 'L' else 'RGB'}"]
    if image.resize is not UNSET:
        side = image.resize
        steps.append(
            f"resized to {_size(side)}"
            if isinstance(side, list)
            else f"resized to {side} on its shorter side"
        )
    if image.crop is not UNSET:
        size = image.crop if isinstance(image.crop, list) else [image.crop, image.crop]
        steps.append(f"its centre of {_size(size)} taken")
    if image.mean is not UNSET and image.std is not UNSET:
        steps.append(f"less mean {_listed(image.mean)}, divided by {_listed(image.std)}")
    most = f"at most {image.max_megapixels:g} megapixels"
    return f"a picture (JPEG, PNG or WebP) of {most}; it is {', '.join(steps)}"


def _numbers(tensor: TensorInput) -> str:
    told = f"{tensor.dtype} numbers of shape {tensor.shape}"
    if tensor.minimum is not UNSET and tensor.maximum is not UNSET:
        told += f", each between {tensor.minimum:g} and {tensor.maximum:g}"
    elif tensor.minimum is not UNSET:
        told += f", each at least {tensor.minimum:g}"
    elif tensor.maximum is not UNSET:
        told += f", each at most {tensor.maximum:g}"
    if tensor.mean is not UNSET and tensor.std is not UNSET:
        told += f"; less mean {_listed(tensor.mean)}, divided by {_listed(tensor.std)}"
    return told


def _size(sides: Sequence[int]) -> str:
    """Height and width."""
    return " x ".join(map(str, sides))


def _listed(values: float | Sequence[float]) -> str:
    many = values if isinstance(values, Sequence) else [values]
    shown = [f"{value:g}" for value in many[:4]] + (["..."] if len(many) > 4 else [])
    return " ".join(shown)
