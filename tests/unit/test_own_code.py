"""--from-model: the owner's code is imported where it lies, and copied so that the recipe finds it again."""

from pathlib import Path
from typing import Any

import pytest
import torch

from handlers.network import open_network
from handlers.recipe import Model, TensorInput
from scripts.errors import CommandError
from scripts.recipes import own_code
from scripts.recipes.asked import Asked
from scripts.recipes.decided import Network

NET = """
from torch import nn
class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.fc = nn.Linear(width, 2)
    def forward(self, x):
        return self.fc(x)
def build(width):
    return Net(width)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The owner's folder, where the command is run."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def decided(spec: str, **args: Any) -> Network:
    return own_code.decide(Asked(Path("a.pth"), own_code=spec, args=args))


def opens(network: Network, folder: Path, width: int) -> torch.nn.Module:
    """The copied code as a worker opens it, somewhere else."""
    for name, content in network.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    torch.save({"fc.weight": torch.ones(2, width), "fc.bias": torch.zeros(2)}, folder / "a.pth")
    model = Model("a", "1", "tensor", "a.pth", TensorInput(shape=[width]), architecture=network.architecture)
    return open_network(model, folder, torch.device("cpu"))


@pytest.mark.parametrize("spec", ["net.py:Net", "net:Net"])
def test_a_class_of_a_file(place: Path, tmp_path_factory: pytest.TempPathFactory, spec: str) -> None:
    (place / "net.py").write_text(NET)
    network = decided(spec)
    assert network.architecture.class_ == "net.py:Net"  # type: ignore[union-attr]
    assert list(network.files) == ["net.py"]
    assert opens(network, tmp_path_factory.mktemp("model"), 4)(torch.ones(1, 4)).tolist() == [[4.0, 4.0]]


def test_a_factory_with_arguments(place: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    (place / "net.py").write_text(NET)
    network = decided("net.py:build", width=6)
    assert network.architecture.factory == "net.py:build"  # type: ignore[union-attr]
    assert network.architecture.args == {"width": 6}  # type: ignore[union-attr]
    assert opens(network, tmp_path_factory.mktemp("model"), 6)(torch.ones(1, 6)).tolist() == [[6.0, 6.0]]


def test_a_module_of_a_package_brings_what_it_imports(
    place: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (place / "nets" / "parts").mkdir(parents=True)
    (place / "nets" / "__init__.py").write_text("")
    (place / "nets" / "parts" / "__init__.py").write_text("from .wide import WIDTH")
    (place / "nets" / "parts" / "wide.py").write_text("WIDTH = 5")
    (place / "nets" / "unused.py").write_text("raise SystemExit")
    (place / "nets" / "cat.py").write_text(
        "from .parts import WIDTH\nfrom torch import nn\n"
        "class Cat(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.fc = nn.Linear(WIDTH, 2)\n    def forward(self, x):\n        return self.fc(x)\n"
    )
    network = decided("nets.cat:Cat")
    packed = {"nets/__init__.py", "nets/cat.py", "nets/parts/__init__.py", "nets/parts/wide.py", "model.py"}
    assert set(network.files) == packed
    assert network.architecture.class_ == "model.py:Cat"  # type: ignore[union-attr]
    opened = opens(network, tmp_path_factory.mktemp("model"), 5)
    assert opened(torch.ones(1, 5)).tolist() == [[5.0, 5.0]]


def test_installed_code_is_imported_and_not_copied(place: Path) -> None:
    network = decided("torch.nn:Linear", in_features=4, out_features=2)
    assert list(network.files) == ["model.py"]
    assert b"from torch.nn import Linear as Linear" in network.files["model.py"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("net.py", "--from-model is 'net.py'; --from-model takes MODULE:NAME"),
        ("gone.py:Net", "gone.py isn't there"),
        ("gone:Net", "importing gone raised ModuleNotFoundError"),
        ("net.py:Gone", "there is no such class or function"),
        ("net.py:build", "building it raised TypeError"),
        ("net.py:WIDTH", "there is no such class or function"),
        ("net.py:number", "gave a int; name what gives an nn.Module"),
        ("broken.py:Net", "importing broken raised ZeroDivisionError"),
        ("ends.py:Net", "importing ends raised SystemExit"),
        ("json.py:Net", "json.py can't be imported under the name 'json'; rename the file"),
        ("my-net.py:Net", "can't be imported under the name 'my-net'; rename the file"),
    ],
)
def test_what_gives_no_network_is_refused(place: Path, spec: str, message: str) -> None:
    (place / "net.py").write_text(NET + "\nWIDTH = 4\ndef number():\n    return 3\n")
    (place / "broken.py").write_text("1 / 0")
    (place / "ends.py").write_text("raise SystemExit(0)")
    for name in ("json.py", "my-net.py"):
        (place / name).write_text(NET)
    with pytest.raises(CommandError) as refused:
        decided(spec)
    assert message in str(refused.value)
