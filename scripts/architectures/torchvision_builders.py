"""What torchvision builds: classification, detection, segmentation, video, optical flow.

Each is built once, or once for each choice that adds or leaves out tensors.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator
from typing import Any

from msgspec import Struct, structs
from torchvision import models

from handlers.meta import WithoutWeights
from handlers.mismatch import Shape
from scripts.architectures.fingerprint import Fingerprint, Rule, owner
from scripts.architectures.match import Family
from scripts.architectures.probes import CLASSES, OTHER, heads, probed

IMAGE_SIZE = 224
"""The default of torchvision's vision transformers, whatever their weights."""

HIDDEN = 768
"""The representation_size that the papers take, where a checkpoint doesn't tell."""

WIDTHS: dict[str, tuple[dict[str, Any], ...]] = {
    "mobilenet_v2": tuple({"width_mult": width} for width in (0.25, 0.35, 0.5, 0.75, 1.4)),
    "mobilenet_v3_large": ({"reduced_tail": True}, {"width_mult": 0.75}),
    "mobilenet_v3_small": ({"reduced_tail": True}, {"width_mult": 0.75}),
}
"""The widths that papers publish and torchvision builds, without weights of its own for them."""


class Plan(Struct, frozen=True):
    """One builder with what is given to it."""

    builder: str
    family: Family
    args: dict[str, Any] = {}
    """Fixed: another choice has other names or sizes."""
    probes: dict[str, int] = {}
    """argument -> the prime that stands for it"""


def plans() -> list[Plan]:
    """Every builder, those with arguments that add or leave out tensors more than once."""
    families: dict[Family, Any] = {
        "classification": models,
        "detection": models.detection,
        "segmentation": models.segmentation,
        "video": models.video,
        "optical flow": models.optical_flow,
    }
    return [
        plan
        for family, module in families.items()
        for name in models.list_models(module)
        for plan in _plans(name, family)
    ]


def _plans(builder: str, family: Family) -> Iterator[Plan]:
    probes = {"num_classes": CLASSES} if family != "optical flow" else {}
    takes = inspect.signature(models.get_model_builder(builder)).parameters
    if "num_keypoints" in takes:
        probes["num_keypoints"] = OTHER
    yield Plan(builder, family, {}, probes)
    if builder in ("inception_v3", "googlenet"):
        yield Plan(builder, family, {"aux_logits": False}, probes)
    if "aux_loss" in takes:
        yield Plan(builder, family, {"aux_loss": True}, probes)
    if builder.startswith("vit_"):
        yield Plan(builder, family, {}, {**probes, "representation_size": OTHER})
    for args in WIDTHS.get(builder, ()):
        yield Plan(builder, family, args, probes)


def fingerprint(plan: Plan) -> Fingerprint:
    """Build it without memory and look at its names and shapes."""
    options: dict[str, Any] = {**plan.args, **plan.probes}
    if plan.family in ("detection", "segmentation"):
        options["weights_backbone"] = None  # or it would be downloaded
    if plan.builder in ("inception_v3", "googlenet"):
        options["init_weights"] = False
    with WithoutWeights(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = models.get_model(plan.builder, weights=None, **options)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    rules = [*probed(shapes, plan.probes), *_image_size(shapes, plan.builder)]
    return _fingerprint(plan, shapes, rules, [name for name, _ in network.named_children()])


def _image_size(shapes: dict[str, Shape], builder: str) -> Iterator[Rule]:
    """Of a vision transformer: one position for each patch, and one for the class token."""
    if builder.startswith("vit_"):
        name = "encoder.pos_embedding"
        patch = shapes["conv_proj.weight"][-1]
        plus = shapes[name][1] - (IMAGE_SIZE // patch) ** 2
        yield Rule(list(shapes).index(name), 1, "image_size", 1, plus, per=patch, power=2)


def _fingerprint(plan: Plan, shapes: dict[str, Shape], rules: list[Rule], children: list[str]) -> Fingerprint:
    names = list(shapes)
    found = Fingerprint(
        library="torchvision",
        builder=plan.builder,
        family=plan.family,
        args=plan.args,
        names=names,
        shapes=list(shapes.values()),
        rules=rules,
        heads=heads(names, rules),
        stem=next((owner(name) for name, shape in shapes.items() if len(shape) > 3 and shape[1] == 3), ""),
        children=children,
        defaults=_defaults(plan.builder, rules),
    )
    return structs.replace(found, shapes=list(found.shapes_with(found.defaults).values()))


def _defaults(builder: str, rules: list[Rule]) -> dict[str, int]:
    """What the builder takes when it isn't told: as many outputs as its published weights have."""
    meta = models.get_model_weights(builder).DEFAULT.meta
    known = {
        "num_classes": len(meta.get("categories", ())),
        "num_keypoints": len(meta.get("keypoint_names", ())),
        "image_size": IMAGE_SIZE,
        "representation_size": HIDDEN,
    }
    return {rule.argument: known[rule.argument] for rule in rules}
