"""A recipe's input from what libraries say of their published weights, without a download."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import UNSET

from handlers.mismatch import Mismatch
from handlers.recipe import ImageInput, TensorInput
from scripts.architectures.match import Match
from scripts.architectures.preprocessing import drafted_input, published, published_by_hash
from tests.shapes import CLASSIFIERS

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def match(builder: str, **keys: Any) -> Match:
    nothing = Mismatch({}, {}, {})
    return Match("torchvision", builder, "classification", "whole", 1.0, nothing, **{"channels": 3, **keys})


def image(builder: str, **keys: Any) -> ImageInput:
    drafted = drafted_input(match(builder, **keys))
    assert drafted.assumed
    assert isinstance(drafted.inputs, ImageInput)
    return drafted.inputs


# Published


@pytest.mark.parametrize("builder", CLASSIFIERS)
def test_every_classifier_has_published_weights_with_a_preparation_and_a_hash(builder: str) -> None:
    found = published(match(builder))
    assert [one.default for one in found].count(True) == 1
    for one in found:
        assert one.input is not None
        assert (one.input.mean is UNSET, one.input.mode) == (False, "RGB")
        assert len(one.sha256) >= 8
        assert published_by_hash(match(builder), one.sha256.ljust(64, "0")) == one


def test_the_very_file_is_known_by_its_hash_with_its_labels() -> None:
    ours = "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889"
    found = published_by_hash(match("mobilenet_v2"), ours)
    assert found is not None
    assert (found.name, found.num_classes, found.categories[285]) == ("IMAGENET1K_V1", 1000, "Egyptian cat")
    assert published_by_hash(match("mobilenet_v2"), "0" * 64) is None
    assert published_by_hash(match("resnet50"), ours) is None


@pytest.mark.parametrize(
    ("builder", "image"),
    [
        ("resnet50", ImageInput(resize=256, crop=224, mean=MEAN, std=STD)),
        ("inception_v3", ImageInput(resize=342, crop=299, mean=MEAN, std=STD)),
        (
            "efficientnet_b4",
            ImageInput(resize=384, crop=380, interpolation="bicubic", mean=MEAN, std=STD),
        ),
    ],
)
def test_a_preparation_is_the_librarys_own(builder: str, image: ImageInput) -> None:
    assert published(match(builder))[0].input == image


@pytest.mark.parametrize(("builder", "args"), [("googlenet", {"transform_input": True}), ("resnet18", {})])
def test_what_builders_add_with_published_weights_comes_along(builder: str, args: dict[str, Any]) -> None:
    assert published(match(builder))[0].args == args


@pytest.mark.parametrize("builder", ["fasterrcnn_resnet50_fpn", "fcn_resnet50", "r3d_18", "raft_large"])
def test_what_takes_no_single_picture_has_no_input_of_one(builder: str) -> None:
    assert all(one.input is None for one in published(match(builder)))


# Drafted


def test_the_preparation_of_tutorials_is_taken_and_others_are_told() -> None:
    drafted = drafted_input(match("resnet50"))
    assert drafted.inputs == ImageInput(resize=256, crop=224, mean=MEAN, std=STD)
    assert drafted.unknown == (
        "all of it: as torchvision's IMAGENET1K_V1 for resnet50 was published; IMAGENET1K_V2 has resize 232",
    )


def test_without_those_the_default_is_taken() -> None:
    assert image("regnet_y_128gf").crop == 384
    assert (
        "IMAGENET1K_SWAG_LINEAR_V1 has resize 224, crop 224"
        in drafted_input(match("regnet_y_128gf")).unknown[0]
    )


@pytest.mark.parametrize(
    ("args", "resize", "crop", "interpolation"),
    [
        ({}, 256, 224, "bilinear"),
        ({"image_size": 384}, 384, 384, "bicubic"),  # of weights that were published for that size
        ({"image_size": 336}, 384, 336, "bilinear"),
    ],
)
def test_a_vision_transformers_pictures_have_its_size(
    args: dict[str, Any], resize: int, crop: int, interpolation: str
) -> None:
    drafted = image("vit_b_16", args=args)
    assert (drafted.resize, drafted.crop, drafted.interpolation) == (resize, crop, interpolation)


def test_a_published_size_that_is_not_the_default_is_passed_over_without_it() -> None:
    drafted = image("vit_h_14")
    assert (drafted.resize, drafted.crop) == (224, 224)


def test_one_channel_is_grey_with_a_normalisation_that_is_to_be_confirmed() -> None:
    drafted = drafted_input(match("resnet18", channels=1))
    assert drafted.inputs == ImageInput(mode="L", resize=256, crop=224, mean=[0.449], std=[0.226])
    assert drafted.unknown[1] == "mean and std: of the one channel, the average of the published three"


def test_more_channels_are_numbers_and_no_picture() -> None:
    drafted = drafted_input(match("resnet18", channels=4))
    assert drafted.inputs == TensorInput(shape=[4, 224, 224])
    assert drafted.assumed
    assert drafted.unknown[0].startswith("shape: [4, 224, 224], ")
