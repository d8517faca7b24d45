"""init: a checkpoint in any form becomes a folder that loads strictly, or nothing at all is written."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from msgspec import UNSET
from rich.console import Console
from torch import nn

from handlers import recipe
from handlers.errors import Refusal
from handlers.network import open_network
from handlers.recipe import Architecture, Recipe
from scripts.checking.finding import Finding
from scripts.init import init
from scripts.places import Places
from scripts.recipes.asked import Asked
from tests.shapes import CLASSIFIERS, built, identified

CLASSES = 37

NET = """
from torch import nn
class Net(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.fc = nn.Linear(6, outputs)
    def forward(self, x):
        return self.fc(x)
"""


class Ordered(OrderedDict[str, Any]):
    """What frameworks save in place of a plain dict."""


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(models=tmp_path / "models", store=tmp_path / "store", state=tmp_path / "state")


@pytest.fixture(autouse=True)
def findings(monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """What `check` finds, which has tests of its own; and no table of architectures but the tests'."""
    found = [Finding("recipe", "pass", "is valid")]
    monkeypatch.setattr("scripts.init.check", lambda *_: found)
    monkeypatch.setattr("scripts.recipes.deciding.identify", identified)
    return found


def expanded(network: nn.Module) -> dict[str, torch.Tensor]:
    """A network's state as one number for each tensor, however large that is."""
    return {
        name: torch.full((1,), 1, dtype=value.dtype).expand(value.shape) if value.dim() else torch.tensor(1)
        for name, value in network.state_dict().items()
    }


def initialised(places: Places, weights: Path, console: Console, **asked: Any) -> Recipe:
    """The recipe of the new folder, once its network has taken the weights strictly."""
    assert init(places, Asked(weights, name="cats", **asked), console) == 0
    folder = places.models / "cats"
    found = recipe.load(folder)
    open_network(found.handler, folder, torch.device("cpu"))
    return found


def refusal(places: Places, weights: Path, console: Console, **asked: Any) -> str:
    """What init says; nothing may be left of what it began."""
    with pytest.raises(Refusal) as refused:
        init(places, Asked(weights, name="cats", **asked), console)
    assert not places.models.exists() or list(places.models.iterdir()) == []
    return str(refused.value)


def saved(tmp_path: Path, content: object, name: str = "weights.pth", **options: Any) -> Path:
    torch.save(content, tmp_path / name, **options)
    return tmp_path / name


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3))


@pytest.mark.exhaustive
@pytest.mark.parametrize("builder", CLASSIFIERS)
def test_every_published_classifier_comes_back_with_its_head(
    tmp_path: Path, places: Places, console: Console, builder: str
) -> None:
    weights = saved(tmp_path, expanded(built(builder, num_classes=CLASSES)))
    found = initialised(places, weights, console, link=True).handler
    assert found.architecture is not UNSET
    assert found.architecture.torchvision == builder
    assert found.architecture.args["num_classes"] == CLASSES
    assert found.task == "classify"
    assert found.assumed == ["input"]
    image = found.image_input()
    assert image is not None
    assert image.mean is not UNSET


@pytest.mark.parametrize("form", ["DataParallel", "compiled", "Lightning", "legacy", "safetensors", "whole"])
def test_the_same_network_in_every_form(tmp_path: Path, places: Places, console: Console, form: str) -> None:
    network = built("shufflenet_v2_x0_5", num_classes=CLASSES)
    state = expanded(network)
    if form == "DataParallel":
        content: object = {"epoch": 3, "state_dict": {f"module.{name}": one for name, one in state.items()}}
    elif form == "compiled":
        content = {f"_orig_mod.{name}": one for name, one in state.items()}
    elif form == "Lightning":
        inside = {f"model.{name}": one for name, one in state.items()}
        content = {
            "state_dict": {**inside, "loss.weight": torch.ones(CLASSES)},
            "pytorch-lightning_version": "2",
        }
    elif form == "whole":
        content = network.to_empty(device="cpu")
    else:
        content = state
    weights = tmp_path / "weights.pth"
    if form == "safetensors":
        safetensors.torch.save_file({name: one.contiguous() for name, one in state.items()}, weights)
    else:
        saved(tmp_path, content, _use_new_zipfile_serialization=form != "legacy")
    found = initialised(places, weights, console).handler
    assert found.architecture == Architecture(torchvision="shufflenet_v2_x0_5", args={"num_classes": CLASSES})


def test_weights_of_an_unsafe_file_are_taken_out_of_it(
    tmp_path: Path, places: Places, console: Console
) -> None:
    network = small()
    found = initialised(places, saved(tmp_path, network), console)
    kept = torch.load(places.models / "cats" / found.handler.weights, weights_only=True)
    assert {name: one.tolist() for name, one in kept.items()} == {
        name: one.tolist() for name, one in network.state_dict().items()
    }
    assert "without running it" in console.file.getvalue()  # type: ignore[attr-defined]


def test_an_unknown_network_is_drafted_and_answers_as_it_did(
    tmp_path: Path, places: Places, console: Console
) -> None:
    network = small()
    found = initialised(places, saved(tmp_path, network.state_dict()), console)
    assert found.handler.assumed == ["architecture", "input"]
    opened = open_network(found.handler, places.models / "cats", torch.device("cpu"))
    x = torch.randn(2, 6)
    assert torch.equal(opened(x), network(x))  # ReLU, which it assumed, it is


@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")
def test_torchscript_is_served_as_it_is(tmp_path: Path, places: Places, console: Console) -> None:
    network = small()
    weights = tmp_path / "traced.pt"
    torch.jit.save(torch.jit.trace(network, torch.ones(1, 6)), str(weights))
    found = initialised(places, weights, console).handler
    assert found.architecture is UNSET
    assert found.weights == "traced.pt"
    tensor = found.tensor_input()
    assert tensor is not None
    assert tensor.shape == [6]


def test_labels_of_the_checkpoint_become_the_recipes(
    tmp_path: Path, places: Places, console: Console
) -> None:
    state = expanded(built("shufflenet_v2_x0_5", num_classes=3))
    content = {"model": state, "class_to_idx": {"cow": 2, "cat": 0, "dog": 1}}
    found = initialised(places, saved(tmp_path, content), console).handler
    assert found.output.labels == "labels.txt"
    assert (places.models / "cats" / "labels.txt").read_text() == "cat\ndog\ncow\n"
    assert found.weights_key == "model"


def test_weights_among_other_entries_and_in_a_subclass_of_a_dict_are_served(
    tmp_path: Path, places: Places, console: Console
) -> None:
    content = Ordered({**small().state_dict(), "epoch": 3})
    found = initialised(places, saved(tmp_path, content), console).handler
    kept = torch.load(places.models / "cats" / found.weights, weights_only=True)
    assert list(kept) == list(small().state_dict())


def test_labels_of_a_folders_config_become_the_recipes(
    tmp_path: Path, places: Places, console: Console
) -> None:
    folder = tmp_path / "hub"
    folder.mkdir()
    saved(folder, small().state_dict(), "pytorch_model.bin")
    (folder / "config.json").write_text('{"id2label": {"0": "cat", "1": "dog", "2": "cow"}, "size": 4}')
    found = initialised(places, folder, console).handler
    assert (found.task, found.weights) == ("classify", "pytorch_model.bin")
    assert (places.models / "cats" / "labels.txt").read_text() == "cat\ndog\ncow\n"


def test_weights_that_are_there_twice_are_asked_about(
    tmp_path: Path, places: Places, console: Console
) -> None:
    content = {"model": small().state_dict(), "model_ema": small().state_dict()}
    weights = saved(tmp_path, content)
    told = refusal(places, weights, console)
    assert "holds weights more than once, under model, model_ema; give --key for the one you eval" in told
    assert "holds no weights under 'x'; --key may be one of" in refusal(places, weights, console, key="x")
    assert initialised(places, weights, console, key="model_ema").handler.weights_key == "model_ema"


def test_labels_that_do_not_fit_write_nothing(tmp_path: Path, places: Places, console: Console) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("cat\ndog\n")
    weights = saved(tmp_path, expanded(built("shufflenet_v2_x0_5", num_classes=3)))
    assert "holds 2 labels, the network has 3 outputs" in refusal(places, weights, console, labels=labels)


def test_what_is_no_checkpoint_writes_nothing(tmp_path: Path, places: Places, console: Console) -> None:
    weights = tmp_path / "weights.pth"
    weights.write_text("<!doctype html><html>sign in</html>")
    assert "a web page" in refusal(places, weights, console)


def test_own_code_that_does_not_take_the_weights_writes_nothing(
    tmp_path: Path, places: Places, console: Console
) -> None:
    (tmp_path / "net.py").write_text(NET)
    weights = saved(tmp_path, nn.ModuleDict({"fc": nn.Linear(6, 3)}).state_dict())
    own = f"{tmp_path / 'net.py'}:Net"
    told = refusal(places, weights, console, own_code=own, args={"outputs": 4})
    assert told.startswith("nothing was written: ")
    assert "set handler.architecture.args.outputs to 3" in told
    found = initialised(places, weights, console, own_code=own, args={"outputs": 3}).handler
    assert found.architecture == Architecture(class_="net.py:Net", args={"outputs": 3})
    assert found.assumed == ["input"]


def test_a_linked_file_stays_where_it_is(tmp_path: Path, places: Places, console: Console) -> None:
    weights = saved(tmp_path, small().state_dict())
    initialised(places, weights, console, link=True)
    assert (places.models / "cats" / "weights.pth").readlink() == weights


def test_the_exit_status_says_whether_it_can_be_served(
    tmp_path: Path, places: Places, console: Console, findings: list[Finding]
) -> None:
    findings.append(
        Finding("forward pass", "fail", "raises NotImplementedError", "write forward in model.py")
    )
    assert init(places, Asked(saved(tmp_path, small().state_dict()), name="cats"), console) == 1
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    steps = printed.partition("left to do:\n")[2].splitlines()
    assert steps[0] == " 1. forward pass: raises NotImplementedError; write forward in model.py"
    assert steps[1].startswith(" 2. architecture and input: assumed, and nothing proves it yet; compare")
    assert "DECIDE in " in steps[1]
    assert "`confirm` in model.py" in steps[1]
    assert steps[2].startswith(" 3. samples: give one with `expect`, which proves that for good: ")
    assert steps[3:] == [" 4. scripts/pthserve check cats", " 5. scripts/pthserve up cats"]
