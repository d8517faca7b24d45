"""archive: the same inputs give the same bytes, what a worker would fail on is refused, nothing changes."""

from __future__ import annotations

import io
import shutil
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn

from scripts import archive, catalog
from scripts.checking import checks
from scripts.checking.finding import Finding
from scripts.errors import CommandError
from scripts.packing.rehearsal import Rejected
from scripts.places import ROOT, Places
from scripts.processes.children import Children
from tests.states import printed

pytestmark = pytest.mark.server

RECIPE = """
minWorkers: 1
maxWorkers: 1
batchSize: 4
handler:
  name: own
  version: "1.0"
  task: tensor
  architecture: {class: model.py:Own}
  weights: weights.pth
  input: {kind: tensor, shape: [4]}
  runtime: eager
"""


def places(folder: Path, models: Path = ROOT / "models") -> Places:
    return Places(
        models=models, store=folder / "store", config=ROOT / "config.properties", state=folder / "state"
    )


def pack(where: Places, name: str) -> Path:
    return archive.archive(catalog.find(where, name), where, Children()).path


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A model of one's own that packs."""
    folder = tmp_path / "models" / "own"
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    torch.manual_seed(0)
    torch.save(nn.Linear(4, 2).state_dict(), folder / "weights.pth")
    write_model(folder, "return super().forward(x)")
    return folder


def write_model(folder: Path, forward: str, base: str = "nn.Linear", args: str = "4, 2") -> None:
    (folder / "model.py").write_text(
        "import torch\nfrom torch import nn\n\n"
        f"class Own({base}):\n"
        f"    def __init__(self):\n        super().__init__({args})\n"
        f"    def forward(self, x):\n        {forward}\n",
        encoding="utf-8",
    )


def refusal(own: Path) -> str:
    """Why it isn't packed, which is the first thing that `check` marks ✗."""
    where = places(own.parent.parent, own.parent)
    with pytest.raises((Rejected, CommandError)) as caught:
        pack(where, "own")
    assert not list(where.store.glob("*"))
    first = next(one for one in findings(where) if one.verdict == "fail")
    assert first.detail == caught.value.message
    return str(caught.value)


def findings(where: Places) -> list[Finding]:
    """What `check` finds; it leaves the model's folder and the store as they are."""
    before = {path: path.stat().st_mtime_ns for path in where.models.rglob("*")}
    with Children() as children:
        found = checks.check(catalog.find(where, "own"), where, children)
    assert {path: path.stat().st_mtime_ns for path in where.models.rglob("*")} == before
    return found


def packed(own: Path) -> Path:
    """The archive, of which `check` marks nothing ✗."""
    where = places(own.parent.parent, own.parent)
    assert [one for one in findings(where) if one.verdict == "fail"] == []
    assert not list(where.store.glob("*"))
    return pack(where, "own")


def test_the_same_inputs_give_the_same_bytes_on_another_day_in_another_directory(tmp_path: Path) -> None:
    first = pack(places(tmp_path / "a"), "diabetes")
    other = tmp_path / "b" / "models" / "diabetes"
    shutil.copytree(ROOT / "models" / "diabetes", other)
    for path in other.rglob("*"):
        path.touch()
    time.sleep(1.1)  # the next second, which a zip would tell
    second = pack(places(tmp_path / "b", other.parent), "diabetes")
    assert first.read_bytes() == second.read_bytes()


def test_an_archive_holds_the_recipe_folder_and_handlers_under_their_own_names(tmp_path: Path) -> None:
    with zipfile.ZipFile(pack(places(tmp_path), "digits_cnn")) as packed:
        names = set(packed.namelist())
        assert {info.compress_type for info in packed.infolist()} == {zipfile.ZIP_STORED}
    expected = {"recipe.yaml", "model.py", "weights.pth", "labels.txt", "handlers/handler.py", "seal.json"}
    assert names >= expected
    assert "train.py" not in names


def test_changed_content_under_a_version_that_exists_is_refused_with_the_remedy(own: Path) -> None:
    where = places(own.parent.parent, own.parent)
    path = packed(own)
    before = path.read_bytes()
    assert pack(where, "own") == path
    assert [one.verdict for one in findings(where) if one.what == "version"] == ["pass"]
    write_model(own, "return super().forward(x) + 0")
    with pytest.raises(CommandError, match=r"model\.py changed .* raise handler\.version") as caught:
        pack(where, "own")
    assert [one.detail for one in findings(where) if one.verdict == "fail"] == [caught.value.message]
    assert path.read_bytes() == before
    text = (own / "recipe.yaml").read_text(encoding="utf-8")
    (own / "recipe.yaml").write_text(text.replace('"1.0"', '"1.1"'), encoding="utf-8")
    assert pack(where, "own").name == "own-1.1.mar"


def test_a_sample_without_expect_is_recorded_once_and_then_held(own: Path) -> None:
    where = places(own.parent.parent, own.parent)
    (own / "samples").mkdir()
    (own / "samples" / "x.json").write_text('{"input": [1, 2, 3, 4]}', encoding="utf-8")
    with (own / "recipe.yaml").open("a", encoding="utf-8") as recipe:
        recipe.write("  samples: [{input: samples/x.json}]\n")
    assert [one.detail for one in findings(where) if one.what == "samples"] == [
        "samples/x.json: has no `expect`; `archive` keeps the answer of now"
    ]
    outcome = archive.archive(catalog.find(where, "own"), where, Children())
    assert any("recorded" in note for note in outcome.notes)
    recorded = np.load(own / "samples" / "x.json.recorded.npy")
    state = torch.load(own / "weights.pth", weights_only=True)
    expected = state["weight"] @ torch.tensor([1.0, 2, 3, 4]) + state["bias"]
    np.testing.assert_allclose(recorded, expected.numpy(), rtol=1e-5)
    outcome.path.unlink()
    write_model(own, "return super().forward(x) + 1")
    assert "expected" in refusal(own)


@pytest.mark.parametrize(
    ("forward", "base", "args", "message"),
    [
        (
            "return torch.dropout(super().forward(x), 0.5, True)",
            "nn.Linear",
            "4, 2",
            "another output each time",
        ),
        (
            "x = super().forward(x); return x - x.mean(0)",
            "nn.Linear",
            "4, 2",
            "depends on its neighbours in a batch of 4",
        ),
        ("return super().forward(x).sum()", "nn.Linear", "4, 2", "first dimension must be the batch"),
        ("return super().forward(x) / 0", "nn.Linear", "4, 2", "not finite"),
        ("return super().forward(x[:, :3])", "nn.Linear", "4, 2", "RuntimeError"),
        ("return super().forward(x)", "nn.Linear", "4, 3", "weight [2, 4] instead of [3, 4]"),
        ("import missing_package; return x", "nn.Linear", "4, 2", "missing_package"),
    ],
)
def test_what_a_worker_would_find_too_late_is_found_before_packing(
    own: Path, forward: str, base: str, args: str, message: str
) -> None:
    write_model(own, forward, base, args)
    assert message in refusal(own)


def test_modules_beside_model_py_travel_with_it(own: Path) -> None:
    (own / "layers.py").write_text("from torch import nn\nBase = nn.Linear\n", encoding="utf-8")
    (own / "model.py").write_text(
        "from layers import Base\n\nclass Own(Base):\n"
        "    def __init__(self):\n        super().__init__(4, 2)\n",
        encoding="utf-8",
    )
    with zipfile.ZipFile(pack(places(own.parent.parent, own.parent), "own")) as packed:
        assert "layers.py" in packed.namelist()


def test_a_module_from_outside_the_folder_is_missed_before_packing(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = own.parent.parent / "outside"
    outside.mkdir()
    (outside / "mylayers.py").write_text("from torch import nn\nBase = nn.Linear\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(outside))
    (own / "model.py").write_text(
        "from mylayers import Base\n\nclass Own(Base):\n    pass\n", encoding="utf-8"
    )
    assert "mylayers" in refusal(own)


def test_what_a_model_prints_and_writes_while_it_is_tried_is_not_packed(own: Path) -> None:
    where = places(own.parent.parent, own.parent)
    write_model(own, "print('hello'); open('cache.bin', 'w').write('x'); return super().forward(x)")
    with zipfile.ZipFile(pack(where, "own")) as packed:
        assert not {"cache.bin"} & set(packed.namelist())
    assert pack(where, "own").exists()


def test_neighbours_are_tried_in_as_large_a_batch_as_will_be_served(own: Path) -> None:
    edit_recipe(own, "batchSize: 4", "batchSize: 64")
    write_model(own, "y = super().forward(x); return y - y.mean(0) if len(y) > 32 else y")
    assert "depends on its neighbours in a batch of 64" in refusal(own)


def test_a_network_that_takes_one_item_at_a_time_is_packed_with_batches_of_one(own: Path) -> None:
    edit_recipe(own, "batchSize: 4", "batchSize: 1")
    write_model(own, "return super().forward(x.view(1, 4))")
    assert packed(own).exists()


def test_pictures_are_tried_without_a_sample_too(own: Path) -> None:
    edit_recipe(
        own,
        "input: {kind: tensor, shape: [4]}",
        "input: {kind: image, mode: L, resize: [2, 2], flatten: true}",
    )
    assert pack(places(own.parent.parent, own.parent), "own").exists()
    edit_recipe(own, "resize: [2, 2]", "resize: [3, 3]")
    edit_recipe(own, '"1.0"', '"1.1"')
    with pytest.raises(Rejected, match="RuntimeError"):
        pack(places(own.parent.parent, own.parent), "own")


def test_too_few_labels_are_found_without_a_sample(own: Path) -> None:
    edit_recipe(own, "task: tensor", "task: classify\n  output: {labels: labels.txt}")
    (own / "labels.txt").write_text("only one\n", encoding="utf-8")
    assert "has 1 labels, the network 2 outputs" in refusal(own)


def test_what_is_assumed_is_a_note_on_every_way_and_no_refusal(own: Path) -> None:
    where = places(own.parent.parent, own.parent)
    with (own / "recipe.yaml").open("a", encoding="utf-8") as recipe:
        recipe.write("  assumed: [input]\n")
    note = "NOTE: handler.input is assumed: compare it with training"
    assert [one.detail for one in findings(where) if one.what == "assumed"] == ["handler.input is assumed"]
    console = Console(file=io.StringIO(), width=20)
    for told in ("packed", "is there already, unchanged"):
        assert archive.archive_all(where, ["own"], console) == 0
        line = printed(console).splitlines()[-1]
        assert told in line
        assert note in line


def edit_recipe(own: Path, old: str, new: str) -> None:
    path = own / "recipe.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
