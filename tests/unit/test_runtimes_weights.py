"""weights: one mapped file in the precision and layout that eager uses, where the checkpoint isn't that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import safetensors.torch
import torch
import yaml
from torch import nn

from handlers import recipe
from handlers.handler import Handler
from handlers.network import open_network
from handlers.recipe import Precision
from handlers.runtimes import eager, weights
from handlers.runtimes.decision import EAGER, Candidate
from handlers.runtimes.setting import Material, Option, Setting
from tests.decided import CPU, decide, same_threads

MODEL = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 64, 3, padding=1)
        self.norm = nn.BatchNorm2d(64)
        self.second = nn.Conv2d(64, 512, 3)
        self.out = nn.Linear(512, 5)

    def forward(self, x):
        return self.out(self.second(self.norm(self.first(x)).relu()).mean((2, 3)))
"""
ITEM = (3, 12, 12)


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    with same_threads():
        yield


def written(folder: Path, save: object, **handler: object) -> Path:
    """A folder whose network has 1.2 MB of weights, saved as `save` does it."""
    folder.mkdir()
    content = {
        "batchSize": 4,
        "handler": {
            "name": "net",
            "version": "1.0",
            "task": "tensor",
            "architecture": {"class": "model.py:Net"},
            "weights": "weights.pth",
            "input": {"kind": "tensor", "shape": list(ITEM)},
            **handler,
        },
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(content))
    (folder / "model.py").write_text(MODEL)
    scope: dict[str, type[nn.Module]] = {}
    exec(MODEL, scope)
    torch.manual_seed(0)
    network = scope["Net"]()
    SAVE[save](network, folder / "weights.pth")  # type: ignore[index]
    return folder


SAVE = {
    "plain": lambda network, path: torch.save(network.state_dict(), path),
    "training": lambda network, path: torch.save(
        {"model": network.state_dict(), "optimizer": {"state": {0: torch.zeros(10_000)}}}, path
    ),
    "old": lambda network, path: torch.save(network.state_dict(), path, _use_new_zipfile_serialization=False),
    "half": lambda network, path: torch.save(network.half().state_dict(), path),
    "double": lambda network, path: torch.save(network.double().state_dict(), path),
}


def built(folder: Path, artifacts: Path, precision: Precision, *options: Option) -> Path | None:
    """The file that eager's build wrote, if it did."""
    artifacts.mkdir()
    network = open_network(recipe.load(folder).handler, folder, CPU)
    material = Material(network, torch.rand(2, *ITEM))
    eager.build(material, Setting(CPU, 1, precision, options), artifacts)
    assert {path.name for path in artifacts.iterdir()} <= {weights.FILE_NAME}
    return next(artifacts.iterdir(), None)


@pytest.mark.parametrize(
    ("save", "needed"),
    [("plain", False), ("training", False), ("old", True), ("half", True), ("double", True)],
)
def test_a_file_is_written_where_the_checkpoints_own_pages_are_not_what_is_used(
    save: str, needed: bool, tmp_path: Path
) -> None:
    folder = written(tmp_path / "net", save)
    file = built(folder, tmp_path / "artifacts", "float32")
    assert (file is not None) == needed
    if file is not None:
        network = open_network(recipe.load(folder).handler, folder, CPU)
        kept = safetensors.torch.load_file(file)
        assert kept.keys() == network.state_dict().keys()
        for name, value in network.state_dict().items():
            assert torch.equal(kept[name], value)


def test_in_bfloat16_lies_what_autocast_would_cast_and_the_rest_in_float32(tmp_path: Path) -> None:
    file = built(written(tmp_path / "net", "plain"), tmp_path / "artifacts", "bfloat16")
    assert file is not None
    dtypes = {name: value.dtype for name, value in safetensors.torch.load_file(file).items()}
    lower = {name for name, dtype in dtypes.items() if dtype == torch.bfloat16}
    assert lower == {
        f"{module}.{name}" for module in ("first", "second", "out") for name in ("weight", "bias")
    }
    assert dtypes["norm.weight"] == dtypes["norm.running_mean"] == torch.float32
    assert dtypes["norm.num_batches_tracked"] == torch.int64


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(600, 600)
        self.out = nn.Linear(600, 600, bias=False)
        self.out.weight = self.words.weight
        self.own = nn.Linear(600, 600)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.out(self.own(self.words(x)))
        return found


def test_weights_that_others_need_in_float32_stay_so(tmp_path: Path) -> None:
    weights.write(Tied(), Setting(CPU, 1, "bfloat16"), tmp_path)
    state = weights.read(tmp_path, Setting(CPU, 1, "bfloat16"))
    assert state is not None
    assert state["words.weight"].dtype == state["out.weight"].dtype == torch.float32
    assert state["own.weight"].dtype == torch.bfloat16


def mapped_bytes(network: nn.Module, file: Path) -> int:
    """Bytes of the network's weights that lie in pages of this file."""
    pages = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(f" {file}"):
            start, _, end = line.split()[0].partition("-")
            pages.append(range(int(start, 16), int(end, 16)))
    return sum(
        value.nbytes
        for value in network.state_dict().values()
        if any(value.data_ptr() in one for one in pages)
    )


@pytest.mark.parametrize(
    ("save", "precision", "options"),
    [
        ("old", "float32", ()),
        ("half", "float32", ()),
        ("plain", "bfloat16", ()),
        ("plain", "float32", ("channels_last",)),
        ("old", "bfloat16", ("channels_last",)),
    ],
)
def test_what_is_opened_has_the_files_own_pages_and_answers_as_without_it(
    save: str,
    precision: Precision,
    options: tuple[Option, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = written(tmp_path / "net", save)
    file = built(folder, tmp_path / "artifacts", precision, *options)
    assert file is not None
    networks: list[nn.Module] = []
    real = open_network

    def watched(*words: object) -> nn.Module:
        networks.append(real(*words))  # type: ignore[arg-type]
        return networks[-1]

    monkeypatch.setattr(eager, "open_network", watched)
    setting = Setting(CPU, 1, precision, options)
    model, batch = recipe.load(folder).handler, torch.randn(3, *ITEM)
    with torch.inference_mode():
        expected = eager.open_runtime(model, folder, setting, None)(batch)
        found = eager.open_runtime(model, folder, setting, file.parent)(batch)
    assert torch.equal(found, expected)
    large = sum(value.nbytes for value in networks[-1].state_dict().values())
    assert mapped_bytes(networks[-1], file) == large
    assert mapped_bytes(networks[0], file) == 0


def test_autocast_leaves_bfloat16_close_to_float32_on_the_cpu_too(tmp_path: Path) -> None:
    folder = written(tmp_path / "net", "plain", precision="bfloat16")
    decide(folder, Candidate("eager", "bfloat16"), ITEM)
    handler = Handler.open(folder)
    assert handler.opened.precision == "bfloat16"
    batch = torch.randn(3, *ITEM)
    found, expected = handler.forward(batch), Handler.open(folder, reference=True).forward(batch)
    assert found.dtype == torch.float32
    assert 0 < (found - expected).abs().max() < 0.05 * expected.abs().max() + 0.01


def test_plain_eager_takes_its_file_where_the_decision_has_one(tmp_path: Path) -> None:
    folder = written(tmp_path / "net", "old")
    decided = decide(folder, EAGER, ITEM)
    assert list(decided.files) == [f"eager-float32/{weights.FILE_NAME}"]
    handler = Handler.open(folder)
    assert (handler.opened.candidate, handler.opened.fallback) == (EAGER, None)
    assert (
        str(folder / "optimised" / "eager-float32" / weights.FILE_NAME) in Path("/proc/self/maps").read_text()
    )
    (folder / "optimised" / "eager-float32" / weights.FILE_NAME).write_bytes(b"tampered")
    assert Handler.open(folder).opened.fallback is None  # the checkpoint is as good


def test_a_file_is_the_same_bytes_when_written_twice(tmp_path: Path) -> None:
    folder = written(tmp_path / "net", "old")
    files = [built(folder, tmp_path / name, "bfloat16") for name in "ab"]
    assert files[0] is not None
    assert files[1] is not None
    assert files[0].read_bytes() == files[1].read_bytes()
