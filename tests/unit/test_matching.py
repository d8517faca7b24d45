"""Names and shapes -> the published architectures that they fit: wholly, nearly, or in their order alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision import models

from handlers import network as rebuilding
from handlers.meta import WithoutWeights
from handlers.recipe import Architecture
from scripts.architectures.form import Form
from scripts.architectures.match import Match
from tests.shapes import CLASSIFIERS, WITH_BACKBONE, built, identified, shapes_of

FUTURE = pytest.mark.filterwarnings("ignore:The default weight initialization:FutureWarning")
"""googlenet and inception_v3 say so whenever they are built without weights."""


def best(network: nn.Module, prefix: str = "") -> Match:
    return identified(shapes_of(network, prefix))[0]


def rebuilt(match: Match) -> nn.Module:
    """As a worker builds it, without memory."""
    architecture = Architecture(torchvision=match.builder, args=match.args)
    with WithoutWeights():
        return rebuilding._builder(architecture, Path())()


# Whole


@FUTURE
@pytest.mark.exhaustive
@pytest.mark.parametrize("builder", CLASSIFIERS)
def test_every_classifier_is_told_from_all_others_with_its_classes(builder: str) -> None:
    trained = built(builder, num_classes=37)
    (match,) = identified(shapes_of(trained))
    assert (match.builder, match.fit, match.share, match.args) == (builder, "whole", 1.0, {"num_classes": 37})
    assert (match.library, match.family, match.servable) == ("torchvision", "classification", True)
    assert (match.prefix, match.changed, match.beside, match.channels) == ("", (), (), 3)
    assert not match.difference
    rebuilt(match).load_state_dict(trained.state_dict(), strict=True, assign=True)


TIES = {"fasterrcnn_mobilenet_v3_large_fpn", "fasterrcnn_mobilenet_v3_large_320_fpn"}


@pytest.mark.parametrize("builder", sorted(WITH_BACKBONE | set(models.list_models(models.video))))
def test_detection_segmentation_and_video_are_recognised(builder: str) -> None:
    trained = built(builder, num_classes=5)
    matches = identified(shapes_of(trained))
    assert {match.builder for match in matches} == (TIES if builder in TIES else {builder})
    for match in matches:
        assert (match.fit, match.share, match.args) == ("whole", 1.0, {"num_classes": 5})
        assert match.family in ("detection", "segmentation", "video")
        assert not match.servable
        assert match.unknown
    rebuilt(matches[0]).load_state_dict(trained.state_dict(), strict=True, assign=True)


@pytest.mark.parametrize("builder", models.list_models(models.optical_flow))
def test_optical_flow_is_recognised(builder: str) -> None:
    match = best(built(builder))
    assert (match.builder, match.fit, match.family, match.args) == (builder, "whole", "optical flow", {})


@FUTURE
@pytest.mark.parametrize(
    ("builder", "args"),
    [
        ("inception_v3", {"num_classes": 3, "aux_logits": False}),
        ("googlenet", {"num_classes": 1000, "aux_logits": False}),
        ("deeplabv3_resnet50", {"num_classes": 21, "aux_loss": True}),
        ("vit_b_16", {"num_classes": 10, "image_size": 384}),
        ("vit_l_32", {"num_classes": 10, "representation_size": 300}),
        ("vit_b_32", {"num_classes": 10, "image_size": 96, "representation_size": 768}),
        ("mobilenet_v2", {"num_classes": 2, "width_mult": 0.5}),
        ("mobilenet_v3_large", {"num_classes": 2, "reduced_tail": True}),
        ("keypointrcnn_resnet50_fpn", {"num_classes": 2, "num_keypoints": 21}),
        ("ssd300_vgg16", {"num_classes": 1}),
    ],
)
def test_arguments_are_read_from_the_shapes(builder: str, args: dict[str, Any]) -> None:
    trained = built(builder, **args)
    (match,) = identified(shapes_of(trained))
    assert (match.builder, match.fit, match.args) == (builder, "whole", args)
    rebuilt(match).load_state_dict(trained.state_dict(), strict=True, assign=True)


def test_files_from_before_the_counter_of_batch_norm_fit() -> None:
    shapes = shapes_of(built("resnet18", num_classes=7))
    (match,) = identified({name: shape for name, shape in shapes.items() if "num_batches" not in name})
    assert (match.builder, match.fit, match.share) == ("resnet18", "whole", 1.0)


# Behind a prefix


@pytest.mark.parametrize("prefix", ["backbone.", "model.", "net.encoder."])
def test_a_prefix_is_found_and_what_lies_beside_it_is_listed(prefix: str) -> None:
    shapes = {
        "criterion.weight": (5,),
        **shapes_of(built("resnet34", num_classes=5), prefix),
        "val_confmat.confmat": (5, 5),
    }
    (match,) = identified(shapes)
    assert (match.builder, match.fit, match.prefix) == ("resnet34", "whole", prefix)
    assert match.beside == ("criterion.weight", "val_confmat.confmat")
    assert set(match.difference.unexpected) == set(match.beside)
    assert (match.difference.missing, match.difference.reshaped) == ({}, {})
    assert 0.99 < match.share < 1
    assert "what criterion.weight, val_confmat.confmat is for: it is left out" in match.unknown


def test_a_metric_inside_the_prefix_lies_beside_the_network_too() -> None:
    shapes = {**shapes_of(built("resnet18"), "model."), "model.accuracy.total": ()}
    (match,) = identified(shapes)
    assert (match.fit, match.prefix, match.beside) == ("whole", "model.", ("accuracy.total",))


def test_a_network_that_goes_on_beside_its_prefix_is_no_whole_one() -> None:
    shapes = {**shapes_of(built("resnet18", num_classes=64), "cnn."), "head.weight": (5, 64)}
    match = identified(shapes)[0]
    assert (match.builder, match.fit, match.prefix) == ("resnet18", "part", "cnn.")
    assert (match.beside, match.changed, match.left_out) == (("head.weight",), (), ())
    assert match.args == {"num_classes": 64}


def test_a_head_outside_the_prefix_is_no_missing_head() -> None:
    network = built("resnet50")
    network.fc = nn.Identity()
    match = identified({**shapes_of(network, "backbone."), "head.weight": (5, 2048), "head.bias": (5,)})[0]
    assert (match.builder, match.fit, match.changed) == ("resnet50", "part", ("fc",))
    assert match.beside == ("head.weight", "head.bias")
    assert (match.around, match.form) == (("head",), Form())
    assert not any("fc" in clause for clause in match.unknown)


def test_a_head_called_like_the_builders_own_outside_the_prefix_is_not_taken_for_it() -> None:
    network = built("resnet18")
    network.fc = nn.Identity()
    shapes = {**shapes_of(network, "model.net."), "model.fc.weight": (5, 512), "criterion.weight": (5,)}
    match = identified(shapes)[0]
    assert (match.fit, match.prefix, match.changed, match.args) == ("part", "model.net.", ("fc",), {})
    assert (match.around, match.left_out) == (("model.fc",), ("criterion.weight",))
    assert "what criterion.weight is for: it is left out" in match.unknown


@pytest.mark.parametrize("cut", [-1, -2])
def test_a_network_in_a_sequential_of_its_children_is_a_part(cut: int) -> None:
    network = built("resnet18")
    shapes = shapes_of(nn.Sequential(*list(network.children())[:cut]), "features.")
    (match,) = identified({**shapes, "fc.weight": (5, 512)})
    assert (match.builder, match.fit, match.prefix) == ("resnet18", "part", "features.")
    assert (match.form.children[0], match.changed, match.around) == ("conv1", ("fc",), ("fc",))
    assert match.difference.missing == {"fc.weight": (1000, 512), "fc.bias": (1000,)}


@pytest.mark.parametrize("prefix", ["features.", "net.encoder."])
def test_the_features_of_a_network_are_a_part(prefix: str) -> None:
    shapes = shapes_of(built("efficientnet_b0").features, prefix)
    (match,) = identified({**shapes, "fc.weight": (5, 1280)})
    assert (match.builder, match.fit, match.prefix) == ("efficientnet_b0", "part", prefix)
    assert (match.form.taken, match.around) == ("features", ("fc",))


def test_children_in_another_order_are_no_part() -> None:
    network = built("resnet18")
    body = nn.Sequential(*list(network.children())[:-1][::-1])
    assert identified({**shapes_of(body, "features."), "fc.weight": (5, 512)}) == []


def test_what_is_no_classifier_is_no_part_but_what_it_is_built_on_is() -> None:
    shapes = {**shapes_of(built("fcn_resnet50"), "net."), "more.weight": (5, 21)}
    (match,) = identified(shapes)
    assert (match.builder, match.fit, match.prefix) == ("resnet50", "part", "net.backbone.")
    assert match.around == ("net.classifier", "more")


# Changed


def sequential(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, 256), nn.ReLU(), nn.Dropout(0.5), nn.Linear(256, 11))


def with_fc(head: Callable[[int], nn.Module]) -> nn.Module:
    network = built("resnet50")
    network.fc = head(2048)
    return network


def with_classifier(builder: str, width: int, last: str = "") -> nn.Module:
    network = built(builder)
    if last:
        network.classifier[int(last)] = sequential(width)
    else:
        network.classifier = sequential(width)
    return network


def with_heads(head: nn.Module) -> nn.Module:
    network = built("vit_b_16")
    network.heads = head
    return network


@pytest.mark.parametrize(
    ("network", "builder", "changed"),
    [
        (lambda: with_fc(sequential), "resnet50", ("fc",)),
        (lambda: with_fc(lambda width: nn.Linear(width, 11, bias=False)), "resnet50", ("fc",)),
        (lambda: with_classifier("vgg16", 4096, "6"), "vgg16", ("classifier.6",)),
        (lambda: with_classifier("vgg16", 25088), "vgg16", ("classifier",)),
        (lambda: with_classifier("mobilenet_v2", 1280, "1"), "mobilenet_v2", ("classifier.1",)),
        (lambda: with_classifier("efficientnet_b0", 1280), "efficientnet_b0", ("classifier",)),
        (lambda: with_classifier("densenet121", 1024), "densenet121", ("classifier",)),
        (lambda: with_heads(nn.Linear(768, 11)), "vit_b_16", ("heads",)),
    ],
)
def test_another_head_is_told_by_the_builders_own_name(
    network: Callable[[], nn.Module], builder: str, changed: tuple[str, ...]
) -> None:
    (match,) = identified(shapes_of(network()))
    assert (match.builder, match.fit, match.changed) == (builder, "changed", changed)
    assert match.args == {"num_classes": 11}
    assert match.beside == ()
    names = [*match.difference.missing, *match.difference.unexpected, *match.difference.reshaped]
    assert all(name.startswith(changed[0]) for name in names)


def test_a_head_without_its_bias_is_changed_and_not_lost() -> None:
    match = best(with_fc(lambda width: nn.Linear(width, 11, bias=False)))
    assert match.difference.missing == {"fc.bias": (11,)}
    assert not any("fc" in clause for clause in match.unknown)


def test_hostile_names_are_made_harmless_where_they_are_told() -> None:
    (match,) = identified({**shapes_of(built("resnet18"), "model."), "x\n\x1b[31mloss": ()})
    assert match.beside == ("x\n\x1b[31mloss",)
    assert not any("\n" in clause or "\x1b" in clause for clause in match.unknown)


def test_a_recut_container_counts_as_a_whole_with_the_outputs_of_its_last_layer() -> None:
    network = built("mobilenet_v2")
    network.classifier = nn.Sequential(
        nn.Dropout(0.2), nn.Linear(1280, 256), nn.ReLU(), nn.Dropout(0.2), nn.Linear(256, 37)
    )
    (match,) = identified(shapes_of(network))
    assert (match.builder, match.fit, match.changed) == ("mobilenet_v2", "changed", ("classifier",))
    assert match.args == {"num_classes": 37}
    assert match.difference.reshaped["classifier.1.weight"] == ((256, 1280), (37, 1280))
    assert "what stands between the layers of classifier and after them: activation, softmax" in match.unknown


def test_a_head_that_is_missing_is_told_and_leaves_the_classes_open() -> None:
    match = best(with_fc(lambda width: nn.Identity()))
    assert (match.builder, match.fit, match.changed, match.args) == ("resnet50", "changed", ("fc",), {})
    assert match.difference.missing == {"fc.weight": (1000, 2048), "fc.bias": (1000,)}
    assert "what stood in place of fc, of which the checkpoint has no tensor" in match.unknown


def test_an_auxiliary_head_that_kept_its_classes_is_what_differs() -> None:
    network = built("inception_v3")
    network.fc = nn.Linear(2048, 37)
    match = best(network)
    assert (match.fit, match.changed, match.args) == ("changed", ("AuxLogits.fc",), {"num_classes": 37})


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("builder", ["resnet18", "convnext_tiny", "vit_b_16", "densenet121", "squeezenet1_1"])
def test_other_input_channels_change_the_stem(builder: str, channels: int) -> None:
    shapes = shapes_of(built(builder, num_classes=3))
    stem = next(name for name, shape in shapes.items() if len(shape) == 4)
    shapes[stem] = (shapes[stem][0], channels, *shapes[stem][2:])
    (match,) = identified(shapes)
    assert (match.builder, match.fit, match.channels) == (builder, "changed", channels)
    assert (match.changed, match.args) == ((stem.removesuffix(".weight"),), {"num_classes": 3})
    assert f"what the {channels} input channels are, and their mean and std" in match.unknown


def test_another_stem_and_another_head_are_both_told() -> None:
    network = with_fc(sequential)
    network.conv1 = nn.Conv2d(1, 64, 3, padding=1, bias=False)
    match = best(network, "model.")
    assert (match.fit, match.prefix, set(match.changed)) == ("changed", "model.", {"fc", "conv1"})
    assert "the stride and padding of conv1, and whether the pooling after it was kept" in match.unknown


# Near, in order, not at all


def test_near_misses_are_ranked_with_their_difference() -> None:
    shapes = shapes_of(built("resnet50", num_classes=9))
    shapes["layer4.2.conv2.weight"] = (512, 256, 3, 3)
    del shapes["layer1.0.bn1.weight"]
    shapes["layer1.0.attention.weight"] = (64, 64)
    first, *others = identified(shapes)
    assert (first.builder, first.fit, first.changed) == ("resnet50", "near", ())
    assert first.difference.missing == {"layer1.0.bn1.weight": (64,)}
    assert first.difference.unexpected == {"layer1.0.attention.weight": (64, 64)}
    assert first.difference.reshaped == {"layer4.2.conv2.weight": ((512, 256, 3, 3), (512, 512, 3, 3))}
    assert len(others) < 5
    shares = [one.share for one in (first, *others)]
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] >= 0.5
    assert shares[0] < 1


def test_the_same_shapes_in_order_under_other_names_are_no_more_than_that() -> None:
    trained = built("resnet18", num_classes=6)
    renamed = {f"part{index}.w": shape for index, shape in enumerate(shapes_of(trained).values()) if shape}
    (match,) = identified(renamed)
    assert (match.builder, match.fit, match.share) == ("resnet18", "order", 0.0)
    assert match.args == {"num_classes": 6}
    assert len(match.difference.missing) == len(renamed)
    assert match.unknown[0].startswith("whether it is this architecture at all")


def test_modules_of_a_network_cut_into_a_sequence_are_told_by_their_order() -> None:
    trained = built("densenet121", num_classes=6)
    older = {
        name.replace("norm1.", "norm.1.").replace("conv1.", "conv.1."): shape
        for name, shape in shapes_of(trained).items()
    }
    match = identified(older)[0]
    assert (match.builder, match.fit) == ("densenet121", "order")
    assert 0 < match.share < 1


@pytest.mark.parametrize(
    "shapes",
    [
        {},
        {"weight": (3, 4), "bias": (3,)},
        {"fc.weight": (3, 4), "fc.bias": (3,)},
        {f"layers.{index}.weight": (8, 8) for index in range(200)},
        {"a." * 5000 + "weight": (1,)},
        {f"{index}.fc.weight": (2, 2048) for index in range(20_000)},
        {"": (), ".": (0,), "..": (1 << 62, 1 << 62)},
    ],
    ids=["empty", "linear", "fc", "mlp", "deep", "many", "odd"],
)
def test_what_is_no_published_architecture_is_none(shapes: dict[str, tuple[int, ...]]) -> None:
    assert identified(shapes) == []


def test_a_backbone_alone_is_no_detector_and_a_part_no_classifier() -> None:
    backbone = {
        name: shape for name, shape in shapes_of(built("resnet18")).items() if name.startswith("layer1")
    }
    assert identified(backbone) == []


def test_names_and_shapes_are_all_that_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = shapes_of(built("alexnet", num_classes=4))
    monkeypatch.setattr(torch, "empty", lambda *args, **keys: pytest.fail("built again"))
    assert [match.builder for match in identified(shapes)] == ["alexnet"]
