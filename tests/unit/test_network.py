"""Recipe + folder -> nn.Module: rebuilt, strictly loaded, in eval mode, its weights shared with the file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import torchvision
from torch import nn

from handlers.errors import BadCheckpoint, BadRecipe
from handlers.network import open_network
from handlers.recipe import Architecture, Model, TensorInput

CPU = torch.device("cpu")
IN_MEMORY = "built in memory instead of sharing the file's pages"

MLP = """
from torch import nn

class Net(nn.Module):
    def __init__(self, features=4, hidden=8, classes=3):
        super().__init__()
        self.fc1 = nn.Linear(features, hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.fc2 = nn.Linear(hidden, classes)
    def forward(self, x):
        return self.fc2(self.norm(self.fc1(x)).relu())
"""


def trained(source: str, **args: Any) -> nn.Module:
    """The network that training had in memory, with weights of its own."""
    names: dict[str, Any] = {}
    exec(source, names)
    torch.manual_seed(3)
    network: nn.Module = names["Net"](**args)
    for value in network.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.1, 1.0)
    return network.eval().requires_grad_(False)


def model(architecture: Architecture | None, **keys: Any) -> Model:
    given = {} if architecture is None else {"architecture": architecture}
    keys = {"weights": "weights.pth", **given, **keys}
    return Model(name="cat", version="1", task="tensor", input=TensorInput(shape=[4]), **keys)


def of_class(name: str = "Net", args: Mapping[str, Any] | None = None, **keys: Any) -> Model:
    return model(Architecture(class_=f"model.py:{name}", args=dict(args or {})), **keys)


def of_torchvision(builder: str, args: Mapping[str, Any] | None = None, **keys: Any) -> Model:
    return model(Architecture(torchvision=builder, args=dict(args or {})), **keys)


def folder(tmp_path: Path, source: str, state: object) -> Path:
    (tmp_path / "model.py").write_text(source)
    torch.save(state, tmp_path / "weights.pth")
    return tmp_path


def checkpoint_refusal(recipe: Model, folder: Path) -> str:
    with pytest.raises(BadCheckpoint) as refused:
        open_network(recipe, folder, CPU)
    return str(refused.value)


def recipe_refusal(recipe: Model, folder: Path) -> str:
    with pytest.raises(BadRecipe) as refused:
        open_network(recipe, folder, CPU)
    return str(refused.value)


def lies_in(tensor: torch.Tensor, path: Path) -> bool:
    """Whether the tensor's memory is the mapped file, as the kernel tells."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(str(path)):
            start, end = (int(bound, 16) for bound in line.split()[0].split("-"))
            if start <= tensor.data_ptr() < end:
                return True
    return False


# Rebuilt


def test_a_class_of_the_folder_answers_like_the_trained_one(tmp_path: Path) -> None:
    wanted = trained(MLP, features=5, classes=2)
    folder(tmp_path, MLP, wanted.state_dict())
    network = open_network(of_class(args={"features": 5, "classes": 2}), tmp_path, CPU)
    x = torch.randn(6, 5)
    assert torch.equal(network(x), wanted(x))


def test_a_torchvision_builder_answers_like_the_trained_one(tmp_path: Path) -> None:
    wanted = torchvision.models.shufflenet_v2_x0_5(num_classes=2).eval()
    torch.save({"model": wanted.state_dict()}, tmp_path / "weights.pth")
    network = open_network(of_torchvision("shufflenet_v2_x0_5", {"num_classes": 2}), tmp_path, CPU)
    x = torch.randn(1, 3, 32, 32)
    assert torch.equal(network(x), wanted(x))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_torchscript_is_served_as_it_is_and_takes_no_architecture(tmp_path: Path) -> None:
    wanted = trained(MLP)
    x = torch.randn(2, 4)
    torch.jit.trace(wanted, x, check_trace=False).save(str(tmp_path / "weights.pth"))
    network = open_network(model(None), tmp_path, CPU)
    assert torch.equal(network(x), wanted(x))
    assert not network.training
    assert "brings its own architecture; remove handler.architecture" in recipe_refusal(of_class(), tmp_path)


def test_it_is_in_eval_mode_and_computes_no_gradients(tmp_path: Path) -> None:
    network = open_network(of_class(), folder(tmp_path, MLP, trained(MLP).state_dict()), CPU)
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())


# Shared


def test_the_weights_are_the_mapped_file_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder(tmp_path, MLP, trained(MLP).state_dict())
    networks = [open_network(of_class(), tmp_path, CPU) for _ in range(2)]
    for network in networks:
        assert all(lies_in(value, tmp_path / "weights.pth") for value in network.state_dict().values())
    assert caplog.records == []


def test_a_torchvision_networks_weights_are_the_mapped_file_itself(tmp_path: Path) -> None:
    torch.save(torchvision.models.shufflenet_v2_x0_5().state_dict(), tmp_path / "weights.pth")
    network = open_network(of_torchvision("shufflenet_v2_x0_5"), tmp_path, CPU)
    assert all(lies_in(value, tmp_path / "weights.pth") for value in network.state_dict().values())


def scaled(setup: str, scale: str = "self.scale") -> str:
    return f"""
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)
        {setup}
    def forward(self, x):
        return self.fc(x) * {scale}
"""


@pytest.mark.parametrize(
    "source",
    [
        scaled("self.scale = torch.linspace(0, 1, 3)[1].item()"),
        scaled("self.scale = float(torch.tensor([3.0]).numpy()[0])"),
        scaled("self.scale = torch.tensor(3.0)"),
        scaled("self.scales = [torch.tensor(3.0)]", "self.scales[0]"),
        scaled("self.scales = {'x': (1, torch.tensor(3.0))}", "self.scales['x'][1]"),
        scaled("self.register_buffer('scale', torch.tensor(3.0), persistent=False)"),
        scaled("self.inner = nn.Module(); self.inner.scale = torch.tensor(3.0)", "self.inner.scale"),
    ],
    ids=["item", "numpy", "attribute", "list", "dict", "non-persistent", "nested"],
)
def test_a_network_that_needs_memory_to_be_built_is_built_there_and_answers_alike(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, source: str
) -> None:
    wanted = trained(source)
    network = open_network(of_class(), folder(tmp_path, source, wanted.state_dict()), CPU)
    x = torch.randn(2, 4)
    assert torch.equal(network(x), wanted(x))
    assert [IN_MEMORY in record.message for record in caplog.records] == [True]


@pytest.mark.parametrize(
    "source",
    [
        scaled("self.scale = nn.Parameter(torch.ones(3))"),
        scaled("self.register_buffer('scale', torch.ones(3))"),
        scaled("self.scales = [3.0]", "self.scales[0]"),
        scaled("self.rnn = nn.LSTM(4, 3, batch_first=True)", "self.rnn(x[:, None])[0][:, 0]"),
        scaled("nn.utils.parametrizations.weight_norm(self.fc); self.scale = 2"),
        scaled("self.norm = nn.BatchNorm1d(3)", "self.norm(self.fc(x))"),
        scaled("self.tied = nn.Linear(4, 3); self.tied.weight = self.fc.weight", "self.tied(x)"),
    ],
    ids=["parameter", "buffer", "list-of-numbers", "lstm", "weight-norm", "batch-norm", "tied"],
)
def test_a_network_that_needs_no_memory_to_be_built_shares_and_answers_alike(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, source: str
) -> None:
    wanted = trained(source)
    network = open_network(of_class(), folder(tmp_path, source, wanted.state_dict()), CPU)
    x = torch.randn(2, 4)
    assert torch.equal(network(x), wanted(x))
    assert caplog.records == []


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_become_the_networks_own(tmp_path: Path, dtype: torch.dtype) -> None:
    wanted = trained(MLP)
    state = {n: v.to(dtype) if v.is_floating_point() else v for n, v in wanted.state_dict().items()}
    network = open_network(of_class(), folder(tmp_path, MLP, state), CPU)
    for name, value in network.state_dict().items():
        assert value.dtype == wanted.state_dict()[name].dtype
    x = torch.randn(2, 4)
    torch.testing.assert_close(network(x), wanted(x), atol=0.05, rtol=0.05)


def test_safetensors_are_opened_like_the_rest(tmp_path: Path) -> None:
    wanted = trained(MLP)
    folder(tmp_path, MLP, None)
    safetensors.torch.save_file(wanted.state_dict(), tmp_path / "w.safetensors")
    network = open_network(of_class(weights="w.safetensors"), tmp_path, CPU)
    assert lies_in(network.state_dict()["fc1.weight"], tmp_path / "w.safetensors")
    x = torch.randn(2, 4)
    assert torch.equal(network(x), wanted(x))


# Strictly loaded


def test_weights_of_wrapped_networks_fit(tmp_path: Path) -> None:
    wanted = trained(MLP)
    folder(tmp_path, MLP, {"state_dict": nn.DataParallel(wanted).state_dict()})
    x = torch.randn(2, 4)
    assert torch.equal(open_network(of_class(), tmp_path, CPU)(x), wanted(x))


def test_a_network_whose_own_names_look_wrapped_keeps_them(tmp_path: Path) -> None:
    source = scaled("self.module = nn.Linear(4, 3); del self.fc; self.fc = self.module; self.scale = 1")
    wanted = trained(source)
    state = {name: value for name, value in wanted.state_dict().items() if name.startswith("module.")}
    folder(tmp_path, source, state)
    network = open_network(of_class(allow_missing=["fc.*"]), tmp_path, CPU)
    assert torch.equal(network.state_dict()["module.weight"], state["module.weight"])


def test_a_batch_norm_without_its_step_counter_fits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    wanted = trained(MLP)
    state = wanted.state_dict()
    del state["norm.num_batches_tracked"]  # as before PyTorch 0.4.1
    network = open_network(of_class(), folder(tmp_path, MLP, state), CPU)
    x = torch.randn(2, 4)
    assert torch.equal(network(x), wanted(x))
    assert caplog.records == []


def test_keys_that_do_not_fit_are_listed_by_sort_with_shapes(tmp_path: Path) -> None:
    state = trained(MLP, hidden=9).state_dict()
    del state["fc2.bias"]
    state["extra"] = torch.zeros(2, 5)
    told = checkpoint_refusal(of_class(), folder(tmp_path, MLP, state))
    assert f"{tmp_path}/weights.pth doesn't fit handler.architecture: " in told
    assert "1 missing from the checkpoint: fc2.bias [3]; " in told
    assert "1 unexpected in the checkpoint: extra [2, 5]; " in told
    assert "7 of another shape: fc1.weight [9, 4] instead of [8, 4], " in told
    assert " and 3 more; compare handler.architecture with the code that trained it" in told


def test_another_head_is_told_with_the_number_to_set(tmp_path: Path) -> None:
    state = torchvision.models.shufflenet_v2_x0_5(num_classes=2).state_dict()
    torch.save(state, tmp_path / "weights.pth")
    told = checkpoint_refusal(of_torchvision("shufflenet_v2_x0_5"), tmp_path)
    assert "the checkpoint's head (fc) has 2 outputs, the recipe's num_classes is 1000: " in told
    assert told.endswith("set handler.architecture.args.num_classes to 2")


def test_another_head_is_told_by_the_classs_own_argument(tmp_path: Path) -> None:
    told = checkpoint_refusal(
        of_class(args={"classes": 7}), folder(tmp_path, MLP, trained(MLP, classes=2).state_dict())
    )
    assert (
        "head (fc2) has 2 outputs, the recipe's classes is 7: set handler.architecture.args.classes" in told
    )


def test_other_inputs_are_told(tmp_path: Path) -> None:
    folder(tmp_path, MLP, trained(MLP, features=6).state_dict())
    told = checkpoint_refusal(of_class(), tmp_path)
    assert "fc1.weight of the checkpoint takes 6 inputs, the recipe builds 4: change the argument" in told


@pytest.mark.parametrize("wrapper", ["", "module.", "_orig_mod."])
def test_a_common_prefix_is_told_and_strip_prefix_takes_it_off(tmp_path: Path, wrapper: str) -> None:
    wanted = trained(MLP)
    state = {f"{wrapper}net.backbone.{name}": value for name, value in wanted.state_dict().items()}
    state |= {f"{wrapper}loss.weight": torch.ones(3)}
    folder(tmp_path, MLP, state)
    assert checkpoint_refusal(of_class(allow_unexpected=["loss.*"]), tmp_path).endswith(
        "the checkpoint's names begin with 'net.backbone.': set handler.strip_prefix to 'net.backbone.'"
    )
    recipe = of_class(strip_prefix="net.backbone.", allow_unexpected=["loss.*"])
    x = torch.randn(2, 4)
    assert torch.equal(open_network(recipe, tmp_path, CPU)(x), wanted(x))


def test_renamed_layers_are_told(tmp_path: Path) -> None:
    state = {name.replace("fc", "dense"): value for name, value in trained(MLP).state_dict().items()}
    told = checkpoint_refusal(of_class(), folder(tmp_path, MLP, state))
    assert "the shapes agree in order but the names don't" in told


def test_what_is_unexpected_may_be_allowed_by_pattern(tmp_path: Path) -> None:
    state = trained(MLP).state_dict() | {"aux.weight": torch.zeros(2), "aux.bias": torch.zeros(2)}
    folder(tmp_path, MLP, state)
    assert "2 unexpected" in checkpoint_refusal(of_class(), tmp_path)
    assert "1 unexpected" in checkpoint_refusal(of_class(allow_unexpected=["*.bias"]), tmp_path)
    assert "aux.weight" not in open_network(of_class(allow_unexpected=["aux.*"]), tmp_path, CPU).state_dict()


def test_what_is_allowed_to_be_missing_is_the_same_in_every_worker(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = {name: value for name, value in trained(MLP).state_dict().items() if not name.startswith("fc2")}
    folder(tmp_path, MLP, state)
    assert "2 missing" in checkpoint_refusal(of_class(), tmp_path)
    opened = []
    for seed in (7, 8):
        torch.manual_seed(seed)
        opened.append(open_network(of_class(allow_missing=["fc2.*"]), tmp_path, CPU).state_dict())
    assert opened[0]["fc2.weight"].std() > 0
    assert torch.equal(opened[0]["fc2.weight"], opened[1]["fc2.weight"])
    assert torch.equal(opened[0]["fc1.weight"], state["fc1.weight"])
    assert "fc2.weight keeps its initial values, as allow_missing says" in caplog.text


# Refused before anything is loaded


def test_an_unknown_builder_is_refused_with_near_names(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "weights.pth")
    told = recipe_refusal(of_torchvision("resnet81"), tmp_path)
    assert told.startswith("handler.architecture.torchvision is 'resnet81'; no such builder; ")
    assert "resnet18" in told
    assert "see torchvision.models.list_models()" in recipe_refusal(of_torchvision("zzz"), tmp_path)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"weights": "DEFAULT"}, "handler.architecture.args has weights; remove it"),
        ({"weights_backbone": "DEFAULT"}, "handler.architecture.args has weights_backbone; remove it"),
        ({"pretrained": True}, "raised TypeError: "),
        ({"classes": 3}, "raised TypeError: "),
    ],
)
def test_a_builders_arguments_can_neither_bring_weights_nor_be_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: dict[str, Any], message: str
) -> None:
    downloads: list[object] = []
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", lambda *args, **keys: downloads.append(args))
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "weights.pth")
    assert message in recipe_refusal(of_torchvision("shufflenet_v2_x0_5", args), tmp_path)
    assert downloads == []


def test_a_segmentation_builder_downloads_no_backbone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    downloads: list[object] = []
    monkeypatch.setattr(
        "torchvision._internally_replaced_utils.load_state_dict_from_url",
        lambda *args, **keys: downloads.append(args),
    )
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "weights.pth")
    assert "missing from the checkpoint" in checkpoint_refusal(
        of_torchvision("lraspp_mobilenet_v3_large"), tmp_path
    )
    assert downloads == []


def test_weights_without_an_architecture_are_refused(tmp_path: Path) -> None:
    folder(tmp_path, MLP, trained(MLP).state_dict())
    assert "holds weights without an architecture; name it in handler.architecture" in recipe_refusal(
        model(None), tmp_path
    )


@pytest.mark.parametrize(
    ("source", "recipe", "message"),
    [
        (MLP, of_class("Nett"), "model.py:Nett'; {}/model.py defines no class Nett; it defines Net"),
        ("x = 1", of_class(), "defines no class Net; it defines none"),
        ("class Net: pass", of_class(), "is 'model.py:Net'; Net is no nn.Module; name the network's class"),
        (
            MLP,
            of_class(args={"classess": 3}),
            "handler.architecture raised TypeError: Net.__init__() got an unexpected keyword argument "
            "'classess'; check handler.architecture.args",
        ),
        (MLP, of_class(args={"classes": "three"}), "building handler.architecture raised TypeError: "),
        (
            "import no_such_package",
            of_class(),
            "importing {}/model.py raised ModuleNotFoundError: No module na",
        ),
    ],
    ids=["no-class", "no-classes", "no-module", "unknown-argument", "wrong-argument", "import"],
)
def test_code_that_gives_no_network_is_refused_for_the_reason(
    tmp_path: Path, source: str, recipe: Model, message: str
) -> None:
    folder(tmp_path, source, trained(MLP).state_dict())
    assert message.format(tmp_path) in recipe_refusal(recipe, tmp_path)


def test_what_is_wrong_with_the_checkpoint_is_told_by_its_path(tmp_path: Path) -> None:
    folder(tmp_path, MLP, nn.Linear(4, 3))
    assert "weights.pth: is no plain state dict" in checkpoint_refusal(of_class(), tmp_path)
    (tmp_path / "weights.pth").unlink()
    assert "weights.pth: can't be read (No such file" in checkpoint_refusal(of_class(), tmp_path)


FACTORY = "from torch import nn\ndef network(classes):\n    return nn.Sequential(nn.Linear(4, classes))"


def of_factory(args: Mapping[str, Any] | None = None) -> Model:
    return model(Architecture(factory="model.py:network", args=dict(args or {})))


def test_a_factory_builds_the_network_like_a_class(tmp_path: Path) -> None:
    folder(tmp_path, FACTORY, {"0.weight": torch.ones(3, 4), "0.bias": torch.zeros(3)})
    network = open_network(of_factory({"classes": 3}), tmp_path, CPU)
    assert network(torch.ones(1, 4)).tolist() == [[4.0, 4.0, 4.0]]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "def network():\n    return 3",
            "handler.architecture.factory is 'model.py:network'; it returned a int",
        ),
        ("def other(): pass", "defines no function network; it defines other"),
    ],
    ids=["no-network", "no-function"],
)
def test_a_factory_that_gives_no_network_is_refused(tmp_path: Path, source: str, message: str) -> None:
    folder(tmp_path, source, trained(MLP).state_dict())
    assert message in recipe_refusal(of_factory(), tmp_path)
