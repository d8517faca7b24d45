"""A network of somebody's own around a published one: both are drafted, and answer as before."""

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision import models

from scripts.architectures.match import Match
from scripts.drafting.draft import Draft
from scripts.drafting.drafting import draft_own
from tests.drafted import assert_answers_rows_alone, assert_reads_like_ours, filled
from tests.shapes import identified, shapes_of

GONE = {
    "convnext_tiny": ("classifier.2", 768),
    "densenet121": ("classifier", 1024),
    "efficientnet_b0": ("classifier", 1280),
    "googlenet": ("fc", 1024),
    "inception_v3": ("fc", 2048),
    "mobilenet_v2": ("classifier", 1280),
    "mobilenet_v3_small": ("classifier", 576),
    "resnet18": ("fc", 512),
    "swin_t": ("head", 768),
    "vgg11": ("classifier.6", 4096),
    "vit_b_32": ("heads", 768),
}
"""Builder -> the head that is taken off, and the width of what is left."""


class Own(nn.Module):
    """A published network, and a head beside it."""

    def __init__(self, backbone: nn.Module, head: nn.Module, pool: int = 0) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.pool = pool

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.backbone(x)
        if self.pool:
            x = F.adaptive_avg_pool2d(x, self.pool)
        found: torch.Tensor = self.head(x.flatten(1))
        return found


def published(builder: str) -> nn.Module:
    options = {"init_weights": False} if builder in ("googlenet", "inception_v3") else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made: nn.Module = models.get_model(builder, weights=None, **options)
    return made


def without(builder: str, path: str) -> nn.Module:
    net = published(builder)
    parent, _, name = path.rpartition(".")
    setattr(net.get_submodule(parent), name, nn.Identity())
    return net


def deep(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, 64), nn.ReLU(), nn.Dropout(), nn.Linear(64, 37))


def children(builder: str) -> nn.Module:
    return nn.Sequential(*list(published(builder).children())[:-1])


def grey() -> nn.Module:
    net = without("resnet18", "fc")
    net.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    return net


def drafted(network: nn.Module, folder: Path) -> tuple[Draft, nn.Module, Match]:
    torch.manual_seed(3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_var is not None:
            module.running_var.uniform_(0.5, 1.5)
    state = network.state_dict()
    match = identified(shapes_of(network))[0]
    assert match.fit == "part"
    found = draft_own(state, [match], "cats.pth")
    kept = {name: one for name, one in state.items() if name not in match.left_out}
    return found, filled(found, kept, folder), match


def assert_same(network: nn.Module, made: nn.Module, channels: int = 3, side: int = 224) -> None:
    rows = torch.randn(2, channels, side, side)
    with torch.inference_mode():
        torch.testing.assert_close(made(rows), network.eval()(rows))


@pytest.mark.parametrize("builder", GONE)
def test_a_head_beside_it_answers_as_before(builder: str, tmp_path: Path) -> None:
    path, width = GONE[builder]
    network = Own(without(builder, path), nn.Linear(width, 37))
    found, made, _ = drafted(network, tmp_path)
    assert (found.forward, found.name, found.args, found.outputs, found.channels) == (
        ("drafted", "Network", {}, 37, 3)
    )
    assert f"models.{builder}(" in found.source
    assert_same(network, made, side=299 if builder == "inception_v3" else 224)
    assert_reads_like_ours(tmp_path)


@pytest.mark.parametrize(
    ("network", "channels"),
    [
        (lambda: Own(without("resnet18", "fc"), deep(512)), 3),
        (lambda: Own(children("resnet18"), deep(512)), 3),
        (lambda: Own(children("mobilenet_v2"), nn.Linear(1280, 37), pool=1), 3),
        (lambda: Own(published("vgg11").features, deep(25088), pool=7), 3),
        (lambda: Own(published("resnet18"), nn.Linear(1000, 37)), 3),
        (lambda: Own(grey(), nn.Linear(512, 37)), 1),
        (lambda: nn.Sequential(without("resnet18", "fc"), nn.BatchNorm1d(512), nn.Linear(512, 37)), 3),
    ],
    ids=["deep", "children", "features", "flattened", "whole", "grey", "sequential"],
)
def test_other_forms_and_heads_do_too(
    network: Callable[[], nn.Module], channels: int, tmp_path: Path
) -> None:
    trained = network()
    found, made, _ = drafted(trained, tmp_path)
    assert (found.forward, found.channels, found.outputs) == ("drafted", channels, 37)
    assert_same(trained, made, channels)
    assert_reads_like_ours(tmp_path)


def test_features_that_end_with_a_norm_are_activated(tmp_path: Path) -> None:
    network = Own(published("densenet121").features, nn.Linear(1024, 14), pool=1)
    found, made, _ = drafted(network, tmp_path)
    rows = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        features = network.eval().backbone(rows).relu()
        torch.testing.assert_close(made(rows), network.head(features.mean((2, 3))))
    assert "F.relu(self.backbone(x))  # confirm: ReLU" in found.source
    assert found.unknown[0] == "what stands between backbone and the rest: a ReLU is assumed"


def test_a_larger_one_inside_a_larger_one_keeps_its_names_and_leaves_a_loss_out(tmp_path: Path) -> None:
    inner = Own(without("resnet18", "fc"), nn.Linear(512, 37))
    network = nn.ModuleDict({"model": inner, "criterion": nn.Linear(3, 3)})
    found, made, match = drafted(network, tmp_path)
    assert match.left_out == ("criterion.weight", "criterion.bias")
    assert_same(inner, made)
    assert assert_answers_rows_alone(made, torch.randn(2, 3, 64, 64)).shape == (2, 37)
    assert found.unknown[0].startswith("what stands between model.backbone and the rest")


def test_the_features_of_a_vgg_under_another_classifier_are_no_vgg(tmp_path: Path) -> None:
    network = nn.ModuleDict({"features": published("vgg11_bn").features, "classifier": nn.Linear(512, 10)})
    found, made, match = drafted(network, tmp_path)
    assert (match.builder, match.form.taken, match.around) == ("vgg11_bn", "features", ("classifier",))
    rows = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        features = network.eval()["features"](rows)
        torch.testing.assert_close(made(rows), network["classifier"](features.flatten(1)))
    assert found.outputs == 10


def test_several_heads_are_the_owners_to_call(tmp_path: Path) -> None:
    heads = {"body": without("resnet18", "fc"), "age": nn.Linear(512, 1), "sex": nn.Linear(512, 2)}
    found, made, _ = drafted(nn.ModuleDict(heads), tmp_path)
    assert (found.forward, found.outputs) == ("missing", None)
    with pytest.raises(NotImplementedError, match=r"body \(backbone\), age \(Linear\), sex \(Linear\)"):
        made(torch.zeros(1, 3, 64, 64))
    with torch.inference_mode():
        assert made.body(torch.zeros(2, 3, 64, 64)).shape == (2, 512)
    assert_reads_like_ours(tmp_path)


def test_what_it_gives_is_tried_without_memory_for_weights(tmp_path: Path) -> None:
    state = {
        name: torch.empty(1).expand(value.shape) if value.dim() else torch.tensor(0)
        for name, value in Own(without("vgg11", "classifier.6"), nn.Linear(4096, 3)).state_dict().items()
    }
    match = identified({name: tuple(value.shape) for name, value in state.items()})[0]
    before = torch.random.get_rng_state()
    assert draft_own(state, [match]).outputs == 3
    assert torch.equal(before, torch.random.get_rng_state())
