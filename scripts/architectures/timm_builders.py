"""What timm builds, where it is installed."""

from __future__ import annotations

import importlib
import inspect
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from msgspec import Struct, structs
from torch import nn

from handlers.meta import WithoutWeights
from handlers.mismatch import Shape
from scripts.architectures.fingerprint import Fingerprint, Rule, owner
from scripts.architectures.probes import CLASSES, OTHER, heads, probed

PROBES: tuple[dict[str, int], ...] = (
    {"num_classes": CLASSES, "in_chans": OTHER},
    {"num_classes": CLASSES},
    {},
)
"""Some take pictures of three channels alone, and some have no classes."""

USUAL_CLASSES = 1000

MOST_TOKENS = 16
"""Class, distillation and register tokens, beside those of the patches."""


class Plan(Struct, frozen=True):
    """One builder, with a head or as a backbone that has none."""

    builder: str
    headless: bool = False


def timm() -> Any:
    """The package; its warnings about its own imports aren't the user's. Raises ImportError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module("timm")
        except Exception as error:  # it doesn't fit its own requirements, or this torch
            raise ImportError(f"timm can't be imported ({error})") from error


def plans() -> list[Plan]:
    """Every builder, those that are published without a head once more without it."""
    names = list(timm().list_models())
    bare = [name for name in names if getattr(timm().get_pretrained_cfg(name), "num_classes", None) == 0]
    return [*map(Plan, names), *(Plan(name, headless=True) for name in bare)]


def fingerprint(plan: Plan) -> Fingerprint | None:
    """Build it without memory and look at its names and shapes; None for one that can't be built so."""
    for probes in [{}] if plan.headless else PROBES:
        network = _built(plan.builder, probes)
        if network is not None:
            return _fingerprint(plan.builder, probes, network)
    return None


def _built(builder: str, probes: dict[str, int]) -> nn.Module | None:
    for mode in (WithoutWeights(), torch.device("meta")):
        with mode, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                network: nn.Module = timm().create_model(builder, pretrained=False, **probes)
            except Exception:  # some compute with what is on meta, others mix both
                continue
            return network
    return None


def _fingerprint(builder: str, probes: dict[str, int], network: nn.Module) -> Fingerprint:
    config = timm().get_pretrained_cfg(builder)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    size = _image_size(network, config)
    rules = [*probed(shapes, probes), *_positions(shapes, size)]
    names = list(shapes)
    classes = getattr(config, "num_classes", None) or USUAL_CLASSES
    defaults = {"num_classes": classes, "in_chans": 3, "img_size": size}
    stems = [owner(names[rule.tensor]) for rule in rules if rule.argument == "in_chans"]
    found = Fingerprint(
        library="timm",
        builder=builder,
        family="classification",
        args={},
        names=names,
        shapes=list(shapes.values()),
        rules=rules,
        heads=heads(names, rules),
        stem=stems[0] if stems else _first_conv(config),
        children=[name for name, _ in network.named_children()],
        defaults={rule.argument: defaults[rule.argument] for rule in rules},
    )
    return structs.replace(found, shapes=list(found.shapes_with(found.defaults).values()))


def _first_conv(config: Any) -> str:
    """The name of the first layer, as timm's own configuration says; "" where it doesn't."""
    named = getattr(config, "first_conv", None) or ""
    return named if isinstance(named, str) else next(iter(named), "")


def _image_size(network: nn.Module, config: Any) -> int:
    """The side of its square pictures, where it can be told another; else 0."""
    _, height, width = getattr(config, "input_size", (3, 0, 0))
    takes = inspect.signature(type(network)).parameters
    return int(height) if height == width and "img_size" in takes else 0


def _positions(shapes: Mapping[str, Shape], size: int) -> Iterator[Rule]:
    """Of a vision transformer: one position for each patch, and one for each further token."""
    positions, patches = shapes.get("pos_embed", ()), shapes.get("patch_embed.proj.weight", ())
    if not size or len(positions) != 3 or len(patches) != 4 or size % patches[-1]:
        return
    plus = positions[1] - (size // patches[-1]) ** 2
    if 0 <= plus <= MOST_TOKENS:
        index = list(shapes).index("pos_embed")
        yield Rule(index, 1, "img_size", 1, plus, per=patches[-1], power=2)
