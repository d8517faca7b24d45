"""Published: the weights that a library publishes for a builder, and how they want their pictures.

All of it is read from the library's own descriptions; nothing is downloaded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, cast

from msgspec import Struct

from handlers.recipe import ImageInput
from scripts.architectures import timm_builders
from scripts.architectures.match import Match

Interpolation = Literal["nearest", "bilinear", "bicubic"]

DIGITS = re.compile(r"-([0-9a-f]{8,})\.(?:pth|pt|bin|safetensors)$")
"""The end of a published file's name: the beginning of its sha256."""

RESCALED = frozenset({"googlenet", "inception_v3"})
"""Of torchvision, whose builders set transform_input where they load published weights."""


class Published(Struct, frozen=True):
    """Weights that a library publishes for a builder."""

    name: str
    """As the library calls them: "IMAGENET1K_V1", "a1_in1k"."""
    input: ImageInput | None
    """None where they don't take one picture of a size: boxes, clips."""
    num_classes: int
    categories: tuple[str, ...] = ()
    """In the order of the outputs; () where the library doesn't tell."""
    sha256: str = ""
    """The first digits of their file's own; "" where its name doesn't say."""
    default: bool = False
    args: dict[str, Any] = {}
    """What the builder takes with these weights and no shape says: transform_input."""


def published(match: Match) -> list[Published]:
    """All weights of the match's builder, as their library lists them."""
    return list(_of_timm(match.builder) if match.library == "timm" else _of_torchvision(match.builder))


def published_by_hash(match: Match, sha256: str) -> Published | None:
    """The published weights whose very file has this sha256 (64 hexadecimal digits)."""
    return next((one for one in published(match) if one.sha256 and sha256.startswith(one.sha256)), None)


def _of_torchvision(builder: str) -> Iterator[Published]:
    from torchvision import models

    weights = models.get_model_weights(builder)
    for one in weights:
        categories = tuple(one.meta.get("categories") or ())
        digits = DIGITS.search(one.url)
        yield Published(
            one.name,
            _transform(one.transforms),
            len(categories),
            categories,
            digits.group(1) if digits else "",
            one is weights.DEFAULT,
            {"transform_input": True} if builder in RESCALED else {},
        )


def _transform(transforms: Any) -> ImageInput | None:
    """Of torchvision's preset for classification; None for any other."""
    from torchvision.transforms._presets import ImageClassification

    preset = transforms()
    if not isinstance(preset, ImageClassification):
        return None
    return ImageInput(
        resize=preset.resize_size[0],
        crop=preset.crop_size[0],
        interpolation=_interpolation(preset.interpolation.value),
        mean=list(preset.mean),
        std=list(preset.std),
    )


def _interpolation(name: str) -> Interpolation:
    """The recipe's word; timm's "random" and the like become bilinear."""
    return cast(Interpolation, name) if name in ("nearest", "bilinear", "bicubic") else "bilinear"


def _of_timm(builder: str) -> Iterator[Published]:
    package = timm_builders.timm()
    every = getattr(package.models, "get_arch_pretrained_cfgs", None)
    configs: Mapping[str, Any] = every(builder) if every else {builder: package.get_pretrained_cfg(builder)}
    for index, (name, config) in enumerate(configs.items()):
        if config is not None:
            digits = DIGITS.search(str(config.url or ""))
            yield Published(
                name.partition(".")[2] or name,
                _configured(config),
                config.num_classes,
                tuple(config.label_names or ()),
                digits.group(1) if digits else "",
                default=index == 0,
            )


def _configured(config: Any) -> ImageInput | None:
    """As timm.data.transforms_factory reads a configuration for evaluation."""
    channels, height, width = config.input_size
    if channels != 3 or config.crop_mode == "border":  # pads, which a recipe's input doesn't
        return None
    scaled = [math.floor(side / config.crop_pct) for side in (height, width)]
    squashed = config.crop_mode == "squash" or height != width
    return ImageInput(
        resize=scaled if squashed else scaled[0],
        crop=[height, width] if height != width else height,
        interpolation=_interpolation(config.interpolation),
        mean=list(config.mean),
        std=list(config.std),
    )
