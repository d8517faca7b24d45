"""export: what is refused before anything runs, and what is left when it is done, or fails."""

from __future__ import annotations

import importlib.util
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from handlers.errors import Refusal
from handlers.recipe import Tolerance
from scripts.errors import CommandError
from scripts.export import Asked, export
from scripts.exporting import place, running
from scripts.exporting.parity import Compared, Example, Parity
from scripts.exporting.targets import NAMES, TargetName
from scripts.places import ROOT, Places
from tests import tiny_models

SUM = "return x.sum(1, keepdim=True) * self.scale"


@pytest.fixture
def places(tmp_path: Path) -> Places:
    tiny_models.write(tmp_path / "models" / "tiny", SUM, task="regress")
    return Places(models=tmp_path / "models", state=tmp_path / "state")


def report(*, passed: bool) -> Parity:
    compared = [Compared("samples/one.json", 1, 0.5, None, passed), Compared("random 1", 8, 0.0, None, True)]
    example = Example("samples/one.json", {"values": [1.0]}, {"values": [1.0]}, True)
    return Parity("tiny", "1.0", "onnx", passed, 0.5, Tolerance(), compared, example, {}, {"model.onnx": "0"})


def pretend(monkeypatch: pytest.MonkeyPatch, *, passed: bool, name: str = "model.onnx") -> None:
    """The child writes one file, and says so."""

    def write(entry: object, target: str, folder: Path, *rest: object) -> Parity:
        (folder / name).write_text("new")
        (folder / "parity.json").write_bytes(msgspec.json.encode(report(passed=passed)))
        return report(passed=passed)

    monkeypatch.setattr(running, "export", write)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


# Refused before anything runs


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (Asked("tiny", "tflite"), "--to is 'tflite'; must be one of torchscript, onnx, openvino, executorch"),
        (Asked("nothing", "onnx"), "there is no model 'nothing'"),
    ],
)
def test_what_is_no_target_or_no_model_is_told(
    places: Places, console: Console, asked: Asked, told: str
) -> None:
    with pytest.raises(CommandError, match=re.escape(told)):
        export(places, asked, console)


@pytest.mark.parametrize(("target", "extra"), [("executorch", " executorch"), ("onnx", "")])
def test_a_missing_package_is_told_with_what_installs_it(
    places: Places, console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, extra: str
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CommandError) as refused:
        export(places, Asked("tiny", target, tmp_path / "out"), console)
    assert str(refused.value) == (
        f"--to {target} needs {target}, which isn't installed; scripts/pthserve setup{extra}"
    )


def test_an_export_is_replaced_only_by_force(
    places: Places, console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    pretend(monkeypatch, passed=True, name="old.txt")
    assert export(places, Asked("tiny", "onnx", out), console) == 0
    pretend(monkeypatch, passed=True)
    with pytest.raises(CommandError, match="is there already; --force replaces it"):
        export(places, Asked("tiny", "onnx", out), console)
    assert (out / "old.txt").exists()
    assert export(places, Asked("tiny", "onnx", out, force=True), console) == 0
    assert sorted(path.name for path in out.iterdir()) == ["model.onnx", "parity.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models", "out"]


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_what_is_no_export_is_never_replaced(
    places: Places, console: Console, tmp_path: Path, kind: str
) -> None:
    out, kept = tmp_path / "out", tmp_path / "kept"
    kept.mkdir()
    (kept / "thesis.txt").write_text("mine")
    if kind == "file":
        out.write_text("mine")
    elif kind == "link":
        out.symlink_to(kept)
    else:
        kept.rename(out)
    with pytest.raises(CommandError, match="is no export, and is not replaced"):
        export(places, Asked("tiny", "onnx", out, force=True), console)
    assert (out if kind != "file" else kept).is_dir()
    assert (out / "thesis.txt").exists() or out.read_text() == "mine"


def test_without_out_it_goes_to_exports_under_its_name_version_and_target(places: Places) -> None:
    from scripts import catalog

    assert place.of(catalog.find(places, "tiny"), "onnx", None) == ROOT / "exports" / "tiny-1.0-onnx"
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert "exports/" in ignored


# What is left


def test_answers_that_differ_leave_nothing_and_exit_status_1(
    places: Places, console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, passed=False)
    assert export(places, Asked("tiny", "onnx", tmp_path / "new" / "out"), console) == 1
    assert list((tmp_path / "new").iterdir()) == []
    lines = printed(console).splitlines()
    assert lines[0].startswith(
        "✗ tiny: 1 of 2 answers of onnx differ from eager float32's by more than 0.0001 "
    )
    assert lines[0].endswith("; nothing was kept")
    assert lines[2].split() == ["samples/one.json", "1", "0.5", "-"]
    assert len(lines) == 3


def test_a_failure_keeps_the_older_export(places: Places, console: Console, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "parity.json").write_text("{}")
    tiny_models.write(places.models / "tiny", 'raise ValueError("the reason")', task="regress")
    with pytest.raises(Refusal, match="nothing is known that tiny answers; give it a sample"):
        export(places, Asked("tiny", "torchscript", out, force=True), console)
    assert [path.name for path in out.iterdir()] == ["parity.json"]


def test_an_interpreter_that_dies_is_told_with_its_log(
    places: Places, console: Console, tmp_path: Path
) -> None:
    tiny_models.write(places.models / "tiny", "__import__('os')._exit(7)", task="regress")
    with pytest.raises(CommandError) as refused:
        export(places, Asked("tiny", "torchscript", tmp_path / "out"), console)
    assert "tiny can't be exported to torchscript: the interpreter ended with exit status 7" in str(
        refused.value
    )
    assert (places.logs / "export-tiny-1.0-torchscript.txt").exists()


# The whole way


def assert_exported(name: str, target: TargetName, folder: Path) -> None:
    """The command's folder, whose example answers as `predict --local` does."""
    words = [sys.executable, "-m", "scripts.cli"]
    places = ["--state", str(folder.parent / "state")]
    done = run([*words, *places, "export", name, "--to", target, "--out", str(folder)])
    assert done.returncode == 0, done.stdout + done.stderr
    parity = msgspec.json.decode((folder / "parity.json").read_bytes(), type=Parity)
    assert parity.passed
    assert parity.max_error < 1e-3
    sample = parity.example.input
    example = run([sys.executable, "-I", str(folder / "example.py")])
    assert example.returncode == 0, example.stderr
    ours = run([*words, "predict", name, str(ROOT / "models" / name / sample), "--local"])
    assert ours.returncode == 0, ours.stderr
    assert_alike(json.loads(example.stdout), json.loads(ours.stdout))


def run(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300)


def assert_alike(got: dict[str, list[dict[str, float]]], wanted: dict[str, list[dict[str, float]]]) -> None:
    assert got.keys() == wanted.keys()
    if "values" in wanted:
        assert got["values"] == pytest.approx(wanted["values"], rel=1e-3)
        return
    ours, theirs = got["predictions"], wanted["predictions"]
    assert [one["label"] for one in ours[:1]] == [one["label"] for one in theirs[:1]]
    assert [one["score"] for one in ours] == pytest.approx(
        [one["score"] for one in theirs], rel=1e-3, abs=1e-4
    )


def test_the_example_answers_as_predict_does(tmp_path: Path) -> None:
    assert_exported("digits_mlp", "onnx", tmp_path / "out")


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["diabetes", "diabetes_risk", "digits_cnn", "digits_mlp", "mobilenet_v2"])
@pytest.mark.parametrize("target", NAMES)
def test_every_model_is_exported_to_every_target(tmp_path: Path, name: str, target: TargetName) -> None:
    if not any((ROOT / "models" / name).glob("*.pth")):
        pytest.skip("its weights aren't here")
    if importlib.util.find_spec("executorch") is None and target == "executorch":
        pytest.skip("executorch isn't installed")
    assert_exported(name, target, tmp_path / "out")
