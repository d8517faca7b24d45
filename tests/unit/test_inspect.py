"""The verb: what people read, what programs read, and what is refused."""

from __future__ import annotations

import io
import json
import shlex
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
import torchvision
from click.testing import CliRunner
from rich.console import Console
from torch import nn

from handlers.errors import BadCheckpoint
from scripts import cli
from scripts.architectures.fingerprint import Fingerprint
from scripts.architectures.identify import ranked
from scripts.architectures.match import Match
from scripts.architectures.torchvision_builders import fingerprint, plans
from scripts.inspect import Asked, inspect
from scripts.inspection import fitting
from scripts.inspection.report import Report
from scripts.places import Places
from tests import corpus

BUILDERS = {"resnet18", "resnet34", "squeezenet1_1", "lraspp_mobilenet_v3_large"}


@pytest.fixture(scope="module")
def known() -> list[Fingerprint]:
    """A few published architectures; the whole table takes seconds to build."""
    found = [fingerprint(plan) for plan in plans() if plan.builder in BUILDERS]
    return [one for one in found if one is not None]


@pytest.fixture(autouse=True)
def few_architectures(monkeypatch: pytest.MonkeyPatch, known: list[Fingerprint]) -> None:
    def identify(shapes: dict[str, tuple[int, ...]]) -> list[Match]:
        return ranked(shapes, known)

    monkeypatch.setattr(fitting, "identify", identify)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(models=tmp_path / "models")


def read(path: Path, places: Places, **asked: Any) -> str:
    console = Console(file=io.StringIO(), width=20)
    assert inspect(places, path, Asked(**asked), console) == 0
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def refusal(path: Path, places: Places, **asked: Any) -> BadCheckpoint:
    with pytest.raises(BadCheckpoint) as refused:
        read(path, places, **asked)
    return refused.value


def on_one_value(module: nn.Module) -> dict[str, torch.Tensor]:
    """A state dict of the module's names and shapes that takes no room on the disk."""
    return {
        name: torch.ones((), dtype=one.dtype).expand(one.shape) for name, one in module.state_dict().items()
    }


def published(builder: str, **args: Any) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        network = getattr(torchvision.models, builder)(**args)
    return on_one_value(network)


# What people read


def test_a_training_checkpoint_is_told_from_top_to_bottom(tmp_path: Path, places: Places) -> None:
    path = corpus.save(corpus.training(), tmp_path / "cats.pth")
    told = read(path, places).splitlines()
    size = f"{path.stat().st_size / 1024:.1f} KiB"
    assert told[:4] == [
        f"{path}: a training checkpoint: weights under 'model', beside epoch, optimizer, best_acc, "
        f"class_to_idx (torch zip, {size})",
        "✓ safe: torch.load(weights_only=True) takes it",
        "✓ 9 tensors, 33 parameters, 5 values in buffers, 156 B, float32",
        "! never trained: 1 of 1 BatchNorm have the statistics that they start with: 1",
    ]
    assert "class_to_idx  3 labels: cat, dog, owl" in told
    assert "0       Conv2d 1 -> 2, 3x3  weight [2, 1, 3, 3], bias [2]  float32  20      80 B" in told
    assert "architecture: no published one fits" in told
    assert told[-1] == f"next: scripts/pthserve init {path} --name cats"


def test_every_tensor_is_listed_when_asked(tmp_path: Path, places: Places) -> None:
    told = read(corpus.save(corpus.state(), tmp_path / "w.pth"), places, every=True, architecture=False)
    assert "1.num_batches_tracked  []            int64    1       8 B" in told.splitlines()
    assert "Conv2d" not in told


def test_a_published_architecture_is_named_with_what_the_file_does_not_tell(
    tmp_path: Path, places: Places
) -> None:
    state = {f"module.{name}": one for name, one in published("resnet18", num_classes=37).items()}
    told = read(corpus.save({"state_dict": state}, tmp_path / "w.pth"), places)
    assert (
        "architecture: torchvision's resnet18 (classification), num_classes 37: every name and shape" in told
    )
    assert "  not in the file: " in told
    assert "never trained" not in told  # no statistics of 0 and 1
    assert "weights under 'state_dict', saved from DataParallel" in told


def test_what_differs_from_a_published_architecture_is_named(tmp_path: Path, places: Places) -> None:
    state = published("resnet18")
    state["fc.0.weight"], state["fc.0.bias"] = state.pop("fc.weight"), state.pop("fc.bias")
    state["conv1.weight"] = torch.ones(()).expand(64, 1, 7, 7)
    told = read(corpus.save(state, tmp_path / "w.pth"), places)
    assert "torchvision's resnet18 (classification), num_classes 1000, 1 input channel: all but " in told
    assert "which the checkpoint has otherwise" in told


def test_a_near_miss_is_listed_and_not_taken(tmp_path: Path, places: Places) -> None:
    state = published("resnet34")
    for name in [name for name in state if name.startswith("layer4.2")]:
        del state[name]
    told = read(corpus.save(state, tmp_path / "w.pth"), places)
    assert "architecture: no published one fits" in told
    assert "  torchvision's resnet34 (classification): 7" in told
    assert "missing from the checkpoint: layer4.2.conv1.weight [512, 512, 3, 3]" in told
    assert "init drafts a model.py that loads them" in told


def test_shapes_in_order_under_other_names_are_told_as_exactly_that(tmp_path: Path, places: Places) -> None:
    known = published("resnet18").items()
    state = {f"stage{index}.{name.rpartition('.')[2]}": one for index, (name, one) in enumerate(known)}
    told = read(corpus.save(state, tmp_path / "w.pth"), places)
    assert "architecture: no published one fits" in told
    assert (
        "resnet18 (classification): the same shapes in the same order, under other names; not taken for it"
        in told
    )


def test_what_cannot_be_served_yet_has_no_next_command(tmp_path: Path, places: Places) -> None:
    with torch.device("meta"):
        network = torchvision.models.segmentation.lraspp_mobilenet_v3_large(weights_backbone=None)
    told = read(corpus.save(on_one_value(network), tmp_path / "w.pth"), places)
    assert "every name and shape; recognised, not yet servable" in told
    assert "next:" not in told


def test_a_tie_stays_a_tie_and_the_next_command_decides_it(
    tmp_path: Path, places: Places, monkeypatch: pytest.MonkeyPatch, known: list[Fingerprint]
) -> None:
    twin = msgspec.structs.replace(next(one for one in known if one.builder == "resnet18"), builder="twin18")
    lent = msgspec.structs.replace(twin, library="timm", builder="resnet18")
    monkeypatch.setattr(fitting, "identify", lambda shapes: ranked(shapes, [*known, twin, lent]))
    told = read(corpus.save(published("resnet18"), tmp_path / "w.pth"), places)
    assert (
        "architecture: 2 fit alike, nothing in the shapes tells them apart:\n  torchvision's resnet18" in told
    )
    assert "\n  torchvision's twin18" in told
    assert "\n  the same as timm's resnet18\n" in told
    assert "--architecture resnet18" in told


def test_torchscript_is_not_compared_with_published_architectures(tmp_path: Path, places: Places) -> None:
    told = read(corpus.save_torchscript(tmp_path / "w.pt"), places)
    assert "a TorchScript model, which carries its own architecture" in told
    assert "✓ safe: torch.jit.load takes it" in told
    assert "architecture: " not in told


def test_an_unsafe_file_says_what_it_would_run_and_that_it_did_not(tmp_path: Path, places: Places) -> None:
    saved = {"model": corpus.state(), "extra": corpus.Reduces(Path.mkdir, tmp_path / "trace")}
    told = read(corpus.save(saved, tmp_path / "w.pth"), places)
    assert "! unsafe: loading it would import and may run " in told
    assert "pathlib." in told
    assert "nothing of it was executed" in told
    assert not (tmp_path / "trace").exists()


def test_values_that_no_forward_pass_survives_are_named(tmp_path: Path, places: Places) -> None:
    state = corpus.state()
    state["3.weight"][0, 0], state["3.bias"][:2] = float("nan"), float("inf")
    told = read(corpus.save(state, tmp_path / "w.pth"), places, architecture=False)
    assert "! not finite: 3.weight (1 NaN, 0 Inf), 3.bias (0 NaN, 2 Inf): training diverged" in told


def test_several_weights_are_listed_with_what_they_are(tmp_path: Path, places: Places) -> None:
    path = corpus.save({"model": corpus.state(), "model_ema": corpus.state()}, tmp_path / "w.pth")
    told = read(path, places, architecture=False)
    assert (
        "model_ema      33          an average over training, which is what most training code evaluated"
        in told
    )
    assert told.endswith(f"next: scripts/pthserve init {path} --name w --key model\n")
    assert read(path, places, architecture=False, key="model_ema").endswith("--key model_ema\n")


def test_tied_weights_are_told(tmp_path: Path, places: Places) -> None:
    weight = torch.ones(10, 4)
    told = read(corpus.save({"enc.weight": weight, "dec.weight": weight}, tmp_path / "w.pth"), places)
    assert "✓ 2 tensors, 40 parameters, 160 B, float32" in told
    assert "✓ shared memory, counted once: dec.weight lies on enc.weight" in told


def test_the_suggested_name_is_free_and_the_command_survives_a_shell(tmp_path: Path, places: Places) -> None:
    (places.models / "my_cats").mkdir(parents=True)
    path = corpus.save(corpus.state(), tmp_path / "my cats.pth")
    told = read(path, places, architecture=False).splitlines()[-1].removeprefix("next: ")
    assert shlex.split(told) == ["scripts/pthserve", "init", str(path), "--name", "my_cats_2"]


# Hostile text

HOSTILE = "\x1b[2J\x9b31m\u202egnp\n\x00" + "a" * 10**5


def test_hostile_names_reach_no_terminal_raw(
    tmp_path: Path, places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = {
        HOSTILE: {f"{HOSTILE}.weight": torch.ones(2, 2)},
        "x" + HOSTILE: HOSTILE,
        "labels": [HOSTILE, "b"],
    }
    path = corpus.save(saved, tmp_path / "w.pth")
    inspect(places, path, Asked(as_json=True), Console())
    for told in (read(path, places), read(path, places, every=True), capsys.readouterr().out[:-1]):
        assert all(line.isprintable() for line in told.split("\n"))
        assert r"\x1b[2J" in told or r"\u001b[2J" in told
    assert len(read(path, places)) < 10_000


def test_hostile_text_in_an_error_is_one_printable_line(tmp_path: Path, places: Places) -> None:
    path = corpus.save({"epoch": HOSTILE}, tmp_path / "w.pth")
    told = str(refusal(path, places))
    assert told.isprintable()
    assert len(told) < 2000
    assert str(refusal(corpus.save(corpus.state(), tmp_path / "v.pth"), places, key=HOSTILE)).isprintable()


# What programs read


@pytest.mark.parametrize("form", corpus.FORMS)
def test_json_is_the_report(
    tmp_path: Path, places: Places, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = corpus.FORMS[form][1](tmp_path / "saved")
    assert inspect(places, path, Asked(as_json=True), Console()) == 0
    printed = capsys.readouterr()
    found = msgspec.json.decode(printed.out, type=Report)
    assert (found.format, found.totals.parameters) == (corpus.FORMS[form][0], 33)
    assert (found.architecture is None) == (form in ("traced", "scripted"))
    assert len(printed.out.splitlines()) == 1


def test_json_has_no_nan_even_where_the_file_has(
    tmp_path: Path, places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = {
        "model": {"w.weight": torch.tensor([[float("nan")]])},
        "loss": float("nan"),
        "best": float("inf"),
    }
    inspect(places, corpus.save(saved, tmp_path / "w.pth"), Asked(as_json=True), Console())
    json.loads(capsys.readouterr().out, parse_constant=pytest.fail)


# The command


def test_the_command_prints_a_report_and_takes_its_options(tmp_path: Path) -> None:
    path = str(corpus.save({"a": corpus.state(), "b": corpus.state()}, tmp_path / "w.pth"))
    done = CliRunner().invoke(cli.main, ["inspect", path, "--key", "b", "--all", "--no-architecture"])
    assert done.exit_code == 0
    assert "weights under 'b'" in done.stdout
    assert "architecture" not in done.stdout
    done = CliRunner().invoke(cli.main, ["inspect", path, "--json"])
    assert json.loads(done.stdout)["chosen"] == "a"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>Sign in</html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS"),
        (b"\x89PNG\r\n\x1a\n", ""),
    ],
)
def test_what_is_no_checkpoint_is_exit_status_1_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str
) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(content)
    monkeypatch.setattr("sys.argv", ["pthserve", "inspect", str(path)])
    with pytest.raises(SystemExit) as stopped:
        cli.run()
    told = str(stopped.value.code)
    assert told.startswith(f"pthserve: {path}: ")
    assert message in told
    assert len(told.splitlines()) == 1


def test_a_missing_file_is_refused(tmp_path: Path, places: Places) -> None:
    assert "w.pth" in str(refusal(tmp_path / "w.pth", places))


def test_an_optimizers_state_is_named(tmp_path: Path, places: Places) -> None:
    saved = torch.optim.Adam(corpus.network().parameters(), lr=0.25).state_dict()
    told = str(refusal(corpus.save(saved, tmp_path / "w.pth"), places))
    assert "holds no weights, but an optimizer's state (lr 0.25)" in told


def test_one_output_is_one_output(tmp_path: Path, places: Places) -> None:
    path = corpus.save(torch.nn.Linear(13, 1).state_dict(), tmp_path / "w.pth")
    assert "loads them, 1 output, its" in read(path, places)
