"""A published architecture with other modules in it: the drafted function builds just what was saved."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision import models

from handlers.errors import BadCheckpoint
from handlers.meta import WithoutWeights
from handlers.mismatch import Mismatch
from scripts.architectures.match import Match
from scripts.drafting.draft import Draft
from scripts.drafting.drafting import draft_changed, draft_known
from tests.drafted import assert_reads_like_ours, filled, network

HEADS = {
    "alexnet": "classifier.6",
    "convnext_tiny": "classifier.2",
    "densenet121": "classifier",
    "efficientnet_b0": "classifier.1",
    "googlenet": "fc",
    "inception_v3": "fc",
    "mobilenet_v3_small": "classifier.3",
    "regnet_y_400mf": "fc",
    "resnet18": "fc",
    "swin_t": "head",
    "vgg11": "classifier.6",
    "vit_b_16": "heads.head",
}


def match(builder: str, changed: tuple[str, ...], **fields: Any) -> Match:
    fields = {"channels": 3, "args": {"num_classes": 37}, **fields}
    return Match(
        "torchvision",
        builder,
        "classification",
        "changed",
        0.9,
        Mismatch({}, {}, {}),
        changed=changed,
        **fields,
    )


def published(builder: str, **args: Any) -> nn.Module:
    options = {"init_weights": False} if builder in ("googlenet", "inception_v3") else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made: nn.Module = models.get_model(builder, weights=None, **options, **args)
    return made


def put(net: nn.Module, path: str, module: nn.Module) -> nn.Module:
    """The network with another module at `path`."""
    parent, _, name = path.rpartition(".")
    setattr(net.get_submodule(parent), name, module)
    return net


def changed(builder: str, path: str, head: nn.Module, folder: Path, **args: Any) -> tuple[Draft, nn.Module]:
    """The draft of a published network with another module, and what it builds, filled."""
    state = put(published(builder, **args), path, head).state_dict()
    found = draft_changed(match(builder, (path,)), state)
    return found, filled(found, state, folder)


@pytest.mark.parametrize(("builder", "path"), HEADS.items())
def test_a_deeper_head_is_rebuilt_in_any_of_them(builder: str, path: str, tmp_path: Path) -> None:
    with WithoutWeights():
        net = published(builder, num_classes=37)
        into = net.get_submodule(path).in_features
        head = nn.Sequential(nn.Linear(into, 64), nn.ReLU(), nn.Dropout(), nn.Linear(64, 37))
        state = put(net, path, head).state_dict()
    found = draft_changed(match(builder, (path,)), state)
    made = filled(found, state, tmp_path)
    assert [type(layer) for layer in made.get_submodule(path)] == [type(layer) for layer in head]
    assert (found.name, found.args, found.outputs) == ("network", {"num_classes": 37}, 37)
    assert found.forward == "drafted"  # of the head alone, but ReLU is assumed there
    assert found.unknown[0] == f"{path}: what stands between its layers; ReLU assumed"


def test_a_replaced_head_answers_like_the_one_it_was(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = published("resnet18")
    net.fc = nn.Sequential(nn.Linear(512, 8), nn.ReLU(), nn.Linear(8, 37))
    net.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    found = draft_changed(match("resnet18", ("fc", "conv1"), channels=1), net.state_dict())
    made = filled(found, net.state_dict(), tmp_path)
    rows = torch.randn(2, 1, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(made(rows), net.eval()(rows))
    assert found.channels == 1
    assert "net.conv1 = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)" in found.source
    assert "nn.Linear(8, num_classes)" in found.source


def test_a_layer_of_other_sizes_keeps_what_sizes_dont_say(tmp_path: Path) -> None:
    stem = nn.Conv2d(4, 64, 7, stride=2, padding=3, bias=False)
    found, made = changed("resnet18", "conv1", stem, tmp_path, num_classes=37)
    assert (found.forward, found.unknown) == ("known", ())
    assert repr(made.conv1) == repr(stem)


def test_another_kernel_keeps_the_stride_and_pads_for_it(tmp_path: Path) -> None:
    stem = nn.Conv2d(3, 64, 3, stride=1, padding=1, bias=False)
    _, made = changed("resnet18", "conv1", stem, tmp_path, num_classes=37)
    assert (made.conv1.kernel_size, made.conv1.stride, made.conv1.padding) == ((3, 3), (2, 2), (1, 1))


def test_a_head_that_the_checkpoint_lacks_is_identity(tmp_path: Path) -> None:
    state = put(published("resnet18"), "fc", nn.Identity()).state_dict()
    found = draft_changed(match("resnet18", ("fc",), args={}), state)
    made = filled(found, state, tmp_path)
    assert isinstance(made.fc, nn.Identity)
    assert (found.forward, found.args, found.outputs) == ("known", {}, 512)


def test_a_recut_classifier_keeps_what_the_builder_has_between(tmp_path: Path) -> None:
    head = nn.Sequential(
        nn.Linear(9216, 64),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(64, 64),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(64, 37),
    )
    with WithoutWeights():
        state = put(published("vgg11"), "classifier", head).state_dict()
    found = draft_changed(match("vgg11", ("classifier",)), state)
    made = filled(found, state, tmp_path)
    assert [type(layer) for layer in made.classifier] == [type(layer) for layer in head]
    assert "net.classifier[1],  # confirm: the builder's own" in found.source
    assert found.forward == "known"
    assert found.unknown[0].startswith("classifier: what stands between its layers")


def test_a_layer_of_the_builders_own_kind_stays(tmp_path: Path) -> None:
    net = published("convnext_tiny")
    net.classifier = nn.Sequential(*net.classifier[:2], nn.Linear(768, 64), nn.GELU(), nn.Linear(64, 37))
    found = draft_changed(match("convnext_tiny", ("classifier",)), net.state_dict())
    made = filled(found, net.state_dict(), tmp_path)
    assert type(made.classifier[0]) is type(net.classifier[0])
    assert made(torch.zeros(1, 3, 32, 32)).shape == (1, 37)


def test_a_head_whose_order_its_names_dont_tell_is_left_to_its_owner(tmp_path: Path) -> None:
    head = nn.ModuleDict({"colour": nn.Linear(512, 4), "shape": nn.Linear(512, 5)})
    found, made = changed("resnet18", "fc", head, tmp_path)
    assert found.forward == "missing"
    assert found.unknown[0].startswith("fc: how its modules are called")
    with pytest.raises(NotImplementedError, match=r"Fc\.forward"):
        made.fc(torch.zeros(1, 512))


def test_names_behind_a_prefix_are_found_and_others_left_alone(tmp_path: Path) -> None:
    plain = put(published("resnet18"), "fc", nn.Sequential(nn.Dropout(), nn.Linear(512, 37))).state_dict()
    state = {**{f"backbone.{name}": one for name, one in plain.items()}, "loss.weight": torch.ones(37)}
    found = draft_changed(match("resnet18", ("fc",), prefix="backbone."), state)
    made = filled(found, plain, tmp_path)
    assert found.forward == "known"  # what stands before one layer is no activation
    assert made.fc[1].out_features == 37


def test_the_function_builds_another_number_of_classes_too(tmp_path: Path) -> None:
    head = nn.Sequential(nn.Linear(512, 8), nn.ReLU(), nn.Linear(8, 37))
    found, _ = changed("resnet18", "fc", head, tmp_path)
    assert network(found, tmp_path, num_classes=5).fc[2].out_features == 5


def test_arguments_of_the_match_reach_the_builder_and_detection_downloads_nothing() -> None:
    small = match("vit_b_16", (), args={"num_classes": 37, "image_size": 384})
    assert (
        "models.vit_b_16(weights=None, num_classes=num_classes, image_size=384)" in draft_known(small).source
    )
    found = Match(
        "torchvision",
        "ssd300_vgg16",
        "detection",
        "whole",
        1.0,
        Mismatch({}, {}, {}),
        args={"num_classes": 5},
    )
    source = draft_known(found).source
    assert (
        "models.detection.ssd300_vgg16(weights=None, weights_backbone=None, num_classes=num_classes)"
        in source
    )


def test_timm_is_called_by_name_and_downloads_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library with timm's one function stands in for it: timm isn't among our dependencies."""
    (tmp_path / "timm.py").write_text(
        "from torch import nn\n\n\n"
        "def create_model(name, pretrained, num_classes=1000, in_chans=3):\n"
        "    assert (name, pretrained) == ('tiny', False)\n"
        "    return nn.Sequential(nn.Conv2d(in_chans, 2, 3), nn.Flatten(), nn.Linear(2, num_classes))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    tiny = Match(
        "timm", "tiny", "classification", "whole", 1.0, Mismatch({}, {}, {}),
        args={"num_classes": 7, "in_chans": 1}, channels=1,
    )  # fmt: skip
    found = draft_known(tiny)
    made = network(found, tmp_path)
    assert made(torch.zeros(1, 1, 3, 3)).shape == (1, 7)
    assert (found.forward, found.args, found.outputs, found.channels) == ("known", {"num_classes": 7}, 7, 1)
    head = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 7))
    other = draft_changed(
        Match(**{**{name: getattr(tiny, name) for name in tiny.__struct_fields__}, "changed": ("2",)}),
        put(made, "2", head).state_dict(),
    )
    assert isinstance(network(other, tmp_path)[2], nn.Sequential)


def test_a_builder_that_cant_be_built_so_is_refused() -> None:
    with pytest.raises(BadCheckpoint, match="can't be built with"):
        draft_changed(match("vit_b_16", ("heads",), args={"image_size": 33}), {})


def test_drafts_of_published_networks_read_like_our_code(tmp_path: Path) -> None:
    for builder, path in HEADS.items():
        with WithoutWeights():
            net = published(builder)
            head = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 37))
            state = put(net, path, head).state_dict()
        (tmp_path / f"{builder}.py").write_text(draft_changed(match(builder, (path,)), state).source)
        (tmp_path / f"whole_{builder}.py").write_text(draft_known(match(builder, ())).source)
    assert_reads_like_ours(tmp_path)
