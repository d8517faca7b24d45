"""decision: read as it was written, changed by what decides the answers, and by nothing else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from handlers import recipe, seal
from handlers.errors import BadRecipe
from handlers.runtimes import decision
from handlers.runtimes.decision import EAGER, Candidate, Decision, Tried
from tests import tiny_models

CHOSEN = Candidate("openvino", "bfloat16")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tiny_models.write(tmp_path / "m", "return x")
    artifacts = made / decision.FOLDER / CHOSEN.folder
    artifacts.mkdir(parents=True)
    for name in ("model.xml", "model.bin"):
        (artifacts / name).write_text(name)
    return made


def inputs(folder: Path) -> str:
    return decision.inputs(recipe.load(folder).handler, folder)


def decided(folder: Path) -> Decision:
    artifacts = folder / decision.FOLDER / CHOSEN.folder
    files = {f"{CHOSEN.folder}/{name}": digest for name, digest in seal.digests(artifacts).items()}
    tried = (Tried(CHOSEN, "kept", error=0.01, ms_one=1.5), Tried(EAGER, "slower", error=0.0))
    return Decision(CHOSEN, inputs(folder), "m avx2", {"openvino": "1"}, 1, 8, tried, files)


@pytest.mark.parametrize(
    ("candidate", "told", "folder_name"),
    [
        (EAGER, "eager", "eager-float32"),
        (CHOSEN, "openvino bfloat16", "openvino-bfloat16"),
        (
            Candidate("eager", "bfloat16", ("channels_last",)),
            "eager channels_last bfloat16",
            "eager-channels_last-bfloat16",
        ),
    ],
)
def test_a_candidate_has_a_name_and_a_folder(candidate: Candidate, told: str, folder_name: str) -> None:
    assert (str(candidate), candidate.folder) == (told, folder_name)


def test_it_is_read_as_it_was_written_and_the_same_bytes_each_time(folder: Path) -> None:
    assert decision.read(folder) is None
    decision.write(decided(folder), folder)
    assert decision.read(folder) == decided(folder)
    before = (folder / decision.FOLDER / decision.FILE_NAME).read_bytes()
    decision.write(decided(folder), folder)
    assert (folder / decision.FOLDER / decision.FILE_NAME).read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"chosen": {"runtime": "magic"}}'])
def test_what_is_no_decision_is_refused_with_the_command_that_makes_one(content: bytes, folder: Path) -> None:
    (folder / decision.FOLDER / decision.FILE_NAME).write_bytes(content)
    with pytest.raises(BadRecipe, match=r"decision.json: can't be read .*scripts/pthserve optimise"):
        decision.read(folder)


def test_a_key_of_a_later_version_is_no_decision_of_ours(folder: Path) -> None:
    decision.write(decided(folder), folder)
    path = folder / decision.FOLDER / decision.FILE_NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), "later": 1}))
    with pytest.raises(BadRecipe):
        decision.read(folder)


def rewrite(folder: Path, **handler: object) -> None:
    path = folder / recipe.FILE_NAME
    found = json.loads(json.dumps(__import__("yaml").safe_load(path.read_text())))
    found["handler"] |= handler
    path.write_text(json.dumps(found))


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: rewrite(folder, input={"kind": "tensor", "shape": [3]}),
        lambda folder: rewrite(folder, precision="bfloat16"),
        lambda folder: rewrite(folder, runtime="openvino"),
        lambda folder: rewrite(folder, tolerance={"absolute": 0.5}),
        lambda folder: (folder / "weights.pth").write_bytes(b"other"),
        lambda folder: (folder / "model.py").write_text("# other"),
        lambda folder: (folder / "layers.py").write_text("more"),
        lambda folder: rewrite(folder, output={"top_k": 1}, task="classify"),
        lambda folder: rewrite(folder, calibration="random"),
    ],
)
def test_what_decides_the_answers_changes_it(change: Callable[[Path], object], folder: Path) -> None:
    before = inputs(folder)
    change(folder)
    assert inputs(folder) != before


@pytest.mark.parametrize(
    ("name", "handler"),
    [
        ("widths.json", {"files": ["widths.json"]}),
        ("train.py", {"architecture": {"class": "train.py:Net"}}),
        ("train.py", {"architecture": {"factory": "train.py:make"}}),
        ("train.py", {"task": "train.py:Own"}),
    ],
)
def test_a_file_that_the_recipe_names_changes_it_whatever_it_is_called(
    name: str, handler: dict[str, object], folder: Path
) -> None:
    rewrite(folder, **handler)
    before = inputs(folder)
    (folder / name).write_text("{}")
    with_it = inputs(folder)
    (folder / name).write_text("other")
    assert len({before, with_it, inputs(folder)}) == 3


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: rewrite(folder, version="2.0", description="other words"),
        lambda folder: (folder / "train.py").write_text("pass"),
        lambda folder: (folder / "notes.txt").write_text("note"),
        lambda folder: (folder / decision.FOLDER / "x.py").write_text("pass"),
    ],
)
def test_what_does_not_leaves_it(change: Callable[[Path], object], folder: Path) -> None:
    before = inputs(folder)
    change(folder)
    assert inputs(folder) == before


def test_it_is_the_same_in_another_folder(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "elsewhere")
    assert inputs(tmp_path / "elsewhere") == inputs(folder)


def test_digests_that_are_known_are_not_computed_again(folder: Path) -> None:
    model = recipe.load(folder).handler
    known = seal.digests(folder)
    expected = decision.inputs(model, folder)
    (folder / "weights.pth").write_bytes(b"not looked at")
    assert decision.inputs(model, folder, known) == expected
    assert decision.changed(decided(folder), folder, known) == []


def link(folder: Path, outside: Path) -> None:
    path = folder / decision.FOLDER / CHOSEN.folder / "model.bin"
    shutil.copyfile(path, outside)
    path.unlink()
    path.symlink_to(outside)


@pytest.mark.parametrize(
    ("tamper", "named"),
    [
        (lambda own: (own / "model.bin").write_text("other"), "model.bin"),
        (lambda own: (own / "model.bin").unlink(), "model.bin"),
        (lambda own: (own / "model.onnx.data").touch(), "model.onnx.data"),
        (lambda own: (own / "deep").mkdir() or (own / "deep" / "x").touch(), "deep/x"),
        (lambda own: (own / "x").symlink_to("/etc/hostname"), "x"),
        (lambda own: link(own.parents[1], own.parents[2] / "outside"), "model.bin"),
    ],
    ids=["changed", "missing", "too many", "deeper", "a link", "linked elsewhere"],
)
def test_artifacts_that_are_not_the_proven_ones_are_named(
    tamper: Callable[[Path], object], named: str, folder: Path
) -> None:
    found = decided(folder)
    assert decision.changed(found, folder) == []
    tamper(folder / decision.FOLDER / CHOSEN.folder)
    assert decision.changed(found, folder) == [f"{CHOSEN.folder}/{named}"]


@pytest.mark.parametrize("name", ["../weights.pth", "../../outside", "/etc/hostname"])
def test_no_artifact_lies_outside_of_its_folder(name: str, folder: Path) -> None:
    (folder.parent / "outside").write_text("x")
    path = folder / decision.FOLDER / name
    found = decided(folder)
    escaping = {**found.files, name: seal.sha256(path)}
    assert decision.changed(Decision(CHOSEN, "", "", {}, 1, 8, files=escaping), folder) == [name]
