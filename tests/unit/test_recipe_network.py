"""How init rebuilds a network: which match it takes, when it asks, when it refuses, when it drafts."""

from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec import UNSET
from torch import nn
from torchvision import models

from handlers.mismatch import Mismatch
from handlers.recipe import Architecture
from scripts.architectures.match import Match
from scripts.errors import CommandError
from scripts.inspection.opened import Format, Opened
from scripts.inspection.weights import Weights
from scripts.recipes import network
from scripts.recipes.asked import Asked
from scripts.recipes.decided import Network
from scripts.recipes.network import Found
from tests.shapes import identified, shapes_of

PATH = Path("a.pth")
FITS = Mismatch({}, {}, {})
SMALL = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3))


def match(builder: str = "resnet18", **parts: Any) -> Match:
    given = {"library": "torchvision", "family": "classification", "fit": "whole", "share": 1.0, **parts}
    return Match(builder=builder, **{"difference": FITS, "args": {"num_classes": 3}, **given})


def decide(*matches: Match, form: Format = "torch zip", **asked: Any) -> Found:
    opened = Opened(PATH, form, {}, 0)
    return network.decide(Asked(PATH, **asked), opened, Weights(None, dict(SMALL.state_dict())), matches)


def refusal(*matches: Match, **asked: Any) -> str:
    with pytest.raises(CommandError) as refused:
        decide(*matches, **asked)
    return str(refused.value)


def test_a_published_architecture_is_named_with_what_shapes_say() -> None:
    found = decide(match(prefix="model.", beside=("loss.weight", "loss.bias", "steps"))).network
    assert found.architecture == Architecture(torchvision="resnet18", args={"num_classes": 3})
    assert (found.strip_prefix, found.allow_unexpected) == ("model.", ("loss.*", "steps"))
    assert (found.drafted, found.files, found.outputs) == (False, {}, 3)


def test_a_tie_is_asked_about_and_decided_by_name() -> None:
    tied = (match("one"), match("other"))
    told = refusal(*tied)
    assert "the weights fit torchvision's one with num_classes 3, torchvision's other" in told
    assert "--architecture one" in told
    assert decide(*tied, architecture="other").network.architecture == Architecture(
        torchvision="other", args={"num_classes": 3}
    )


def test_the_same_network_of_timm_is_no_rival() -> None:
    found = decide(match("resnet18"), match("resnet18", library="timm")).match
    assert found is not None
    assert found.library == "torchvision"


@pytest.mark.parametrize("family", ["detection", "segmentation", "video", "optical flow"])
def test_what_no_task_reads_is_recognised_and_refused(family: str) -> None:
    told = refusal(match("net", family=family))
    assert f"those of torchvision's net with num_classes 3 ({family}): recognised, not yet servable" in told


def test_an_architecture_that_does_not_fit_is_refused_with_what_differs() -> None:
    near = match("resnet34", fit="near", share=0.6, difference=Mismatch({"layer9.weight": (2,)}, {}, {}))
    told = refusal(near, architecture="resnet34")
    assert "the weights don't fit resnet34: 1 missing from the checkpoint: layer9.weight [2]" in told
    assert "which the weights don't resemble; they come close to resnet34" in refusal(
        near, architecture="vgg11"
    )


def test_near_and_ordered_matches_are_drafted_not_taken() -> None:
    found = decide(match("vgg11", fit="order"), match("vgg13", fit="near", share=0.9))
    assert found.match is None
    assert found.network.drafted
    assert found.network.architecture == Architecture(class_="model.py:Network")
    assert "in order, those of torchvision's vgg11" in found.network.unknown[0]
    assert found.network.outputs == 3
    names: dict[str, Any] = {}
    exec(found.network.files["model.py"], names)
    names["Network"]().load_state_dict(SMALL.state_dict())


def test_a_published_part_gives_the_pictures_and_a_draft_the_network() -> None:
    net = models.resnet18(weights=None)
    net.fc = nn.Identity()
    trained = nn.ModuleDict({"backbone": net, "head": nn.Linear(512, 3), "loss": nn.Linear(2, 2)})
    inner = identified(shapes_of(trained))[0]
    opened = Opened(PATH, "torch zip", {}, 0)
    found = network.decide(Asked(PATH), opened, Weights(None, dict(trained.state_dict())), [inner])
    assert found.match is inner
    assert found.network.summary == "torchvision's resnet18 behind 'backbone.', with head beside it"
    assert found.network.architecture == Architecture(class_="model.py:Network")
    assert (found.network.strip_prefix, found.network.allow_unexpected) == ("", ("loss.*",))
    assert (found.network.drafted, found.network.outputs) == (True, 3)
    assert not any("mean and std" in clause for clause in found.network.unknown)


def test_torchscript_brings_its_own() -> None:
    assert decide(form="TorchScript").network.architecture is UNSET


def test_code_of_ones_own_goes_before_everything() -> None:
    found = decide(match(), own_code="torch.nn:Linear", args={"in_features": 2, "out_features": 3})
    assert found.network.architecture == Architecture(
        class_="model.py:Linear", args={"in_features": 2, "out_features": 3}
    )


def test_the_very_file_that_was_published_leaves_nothing_unknown() -> None:
    found = network.as_published(decide(match("googlenet", unknown=("x",))), {"transform_input": True})
    assert found.network.unknown == ()
    assert found.network.architecture == Architecture(
        torchvision="googlenet", args={"num_classes": 3, "transform_input": True}
    )


def test_a_head_of_its_own_is_built_by_a_factory() -> None:
    """ResNet-18 whose fc is two layers, as transfer learning leaves it."""
    from tests.shapes import built, identified

    net = built("resnet18")
    net.fc = nn.Sequential(nn.Linear(512, 64, device="meta"), nn.ReLU(), nn.Linear(64, 5, device="meta"))
    state = {name: torch.empty(value.shape) for name, value in net.state_dict().items()}
    matches = identified({name: tuple(value.shape) for name, value in state.items()})
    found = network.decide(Asked(PATH), Opened(PATH, "torch zip", {}, 0), Weights(None, state), matches)
    assert found.network.architecture is not UNSET
    assert found.network.architecture.factory == "model.py:network"
    assert found.network.outputs == 5
    assert found.network.drafted  # what stands between the two layers, nothing tells


def recognised(net: nn.Module) -> Network:
    matches = identified(shapes_of(net))
    return network.decide(
        Asked(PATH), Opened(PATH, "torch zip", {}, 0), Weights(None, net.state_dict()), matches
    ).network


def test_a_replaced_module_with_an_open_question_makes_the_architecture_assumed() -> None:
    net = models.resnet18(num_classes=3)
    net.conv1 = nn.Conv2d(3, 64, 3, bias=False)  # stride and pooling are anyone's guess
    found = recognised(net)
    assert any("stride" in clause for clause in found.unknown)
    assert found.drafted


def test_a_grey_stem_asks_about_inputs_alone() -> None:
    net = models.resnet18(num_classes=3)
    net.conv1 = nn.Conv2d(1, 64, 7, bias=False)
    found = recognised(net)
    assert found.unknown == ()
    assert not found.drafted
