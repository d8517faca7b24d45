"""The report of every form of checkpoint: the same network is found in each, and what is special told."""

import contextlib
from pathlib import Path

import msgspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.errors import BadCheckpoint
from scripts.inspection.opened import Opened
from scripts.inspection.opening import open_checkpoint
from scripts.inspection.report import Report, choose, report
from tests import corpus

NAMES = set(corpus.state())

KINDS = {
    "state dict": "a state dict",
    "state dict before 1.6": "a state dict in torch's format from before 1.6",
    "training": "a training checkpoint: weights under 'model', "
    "beside epoch, optimizer, best_acc, class_to_idx",
    "training before 1.6": "a training checkpoint in torch's format from before 1.6: weights under 'model', "
    "beside epoch, optimizer, best_acc, class_to_idx",
    "parallel": "a state dict, saved from DataParallel",
    "whole model": "a whole pickled model of class torch.nn.modules.container.Sequential",
    "whole model before 1.6": "a whole pickled model of class torch.nn.modules.container.Sequential "
    "in torch's format from before 1.6",
    "safetensors": "a state dict in safetensors",
    "traced": "a TorchScript model, which carries its own architecture",
    "scripted": "a TorchScript model, which carries its own architecture",
    "exported": "an exported program of torch.export",
    "package": "a torch.package archive, which carries its own code: "
    "a whole pickled model of class torch.nn.modules.container.Sequential under 'model/model.pkl'",
    "folder": "a state dict",
    "sharded": "a state dict in several files",
}


def told(path: Path, key: str | None = None) -> Report:
    opened = open_checkpoint(path)
    return report(opened, choose(opened, key), None, "")


@pytest.mark.parametrize("form", corpus.FORMS)
def test_the_network_is_found_in_every_form(tmp_path: Path, form: str) -> None:
    expected, write = corpus.FORMS[form]
    found = told(write(tmp_path / "saved"))
    assert found.format == expected
    assert found.kind == KINDS[form]
    assert {one.name for one in found.tensors} == NAMES
    assert (found.totals.parameters, found.totals.buffers) == (20 + 4 + 9, 2 + 2 + 1)
    assert sorted((row.module, row.looks) for row in found.modules) == [  # safetensors keeps no order
        ("0", "Conv2d 1 -> 2, 3x3"),
        ("1", "BatchNorm 2"),
        ("3", "Linear 2 -> 3"),
    ]
    assert found.health.untrained == ("1",)


@pytest.mark.parametrize("form", corpus.FORMS)
def test_the_report_is_json_without_loss(tmp_path: Path, form: str) -> None:
    found = told(corpus.FORMS[form][1](tmp_path / "saved"))
    assert msgspec.json.decode(msgspec.json.encode(found), type=Report) == found


def test_safety_names_what_loading_would_import(tmp_path: Path) -> None:
    plain = told(corpus.save(corpus.state(), tmp_path / "plain.pth")).safety
    assert (plain.loadable, plain.refused, plain.pickled) == (True, (), None)
    whole = told(corpus.save(corpus.network(), tmp_path / "whole.pth")).safety
    assert not whole.loadable
    assert "torch.nn.modules.container.Sequential" in whole.refused
    assert whole.pickled == "torch.nn.modules.container.Sequential"


def test_labels_and_what_training_left_are_in_the_report(tmp_path: Path) -> None:
    found = told(corpus.save(corpus.training(), tmp_path / "w.pth"))
    assert {one.key: one.labels for one in found.extras}["class_to_idx"] == ("cat", "dog", "owl")
    assert (found.chosen, [one.key for one in found.weights]) == ("model", ["model"])


def test_every_choice_is_listed_and_a_key_chooses(tmp_path: Path) -> None:
    averaged = {f"module.{name}": value for name, value in corpus.state().items()}
    saved = {"ema": {**averaged, "n_averaged": torch.tensor(5)}, "model": corpus.state()}
    path = corpus.save(saved, tmp_path / "w.pth")
    choices = [(one.key, one.averaged, one.wrappers, one.parameters) for one in told(path).weights]
    assert choices == [("model", False, (), 33), ("ema", True, ("AveragedModel",), 33)]
    assert told(path).chosen == "model"
    assert told(path, "ema").chosen == "ema"


def opened(root: object, refused: tuple[str, ...] = ()) -> Opened:
    return Opened(Path("w.pth"), "torch zip", root, 0, refused=refused)


def refusal(opened: Opened, key: str | None = None) -> BadCheckpoint:
    with pytest.raises(BadCheckpoint) as refused:
        choose(opened, key)
    return refused.value


def test_another_key_is_refused_with_those_that_there_are() -> None:
    two = opened({"a": corpus.state(), "b": corpus.state(), "\x1b": corpus.state()})
    assert str(refusal(two, "c")) == r"w.pth: has no weights under 'c'; --key may be one of: a, b, \x1b"
    assert refusal(opened(corpus.state()), "c").hint == "leave out --key"


@pytest.mark.parametrize(
    ("root", "message"),
    [
        ({"epoch": 1, "loss": 0.5}, "w.pth: holds no weights, but epoch 1, loss 0.5"),
        ([torch.zeros(2)], "w.pth: holds no weights, but 1 tensor, 8 B"),
        (torch.zeros(2), "w.pth: holds no weights, but tensor [2] float32"),
        ({}, "w.pth: holds no weights, but empty"),
        (None, "w.pth: holds no weights, but None"),
    ],
)
def test_a_file_without_weights_is_refused_for_what_it_holds(root: object, message: str) -> None:
    refused = refusal(opened(root))
    assert refused.message == message
    assert refused.hint


@pytest.mark.parametrize("payload", corpus.PAYLOADS)
@pytest.mark.parametrize("form", [corpus.in_zip, corpus.before_1_6], ids=["zip", "before-1.6"])
def test_a_malicious_file_is_named_and_never_executed(tmp_path: Path, payload: str, form: object) -> None:
    build, name = corpus.PAYLOADS[payload]
    path, trace = tmp_path / "w.pth", tmp_path / "executed"
    assert callable(form)
    path.write_bytes(form(build(str(trace))))
    seen = ""
    try:
        seen = " ".join(told(path).safety.refused)
    except BadCheckpoint as refused:
        seen = str(refused)
    assert name in seen
    assert list(tmp_path.iterdir()) == [path]


@st.composite
def damaged(draw: st.DrawFn, contents: dict[str, bytes]) -> bytes:
    """A checkpoint whose structure (the first bytes of these formats hold most of it) was written over."""
    content = bytearray(contents[draw(st.sampled_from(sorted(contents)))])
    for _ in range(draw(st.integers(1, 4))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(content)


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    forms = (
        "training",
        "training before 1.6",
        "whole model",
        "whole model before 1.6",
        "safetensors",
        "traced",
    )
    folder = tmp_path_factory.mktemp("whole")
    return {form: corpus.FORMS[form][1](folder / form).read_bytes() for form in forms}


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_refused_or_told_in_full(
    tmp_path_factory: pytest.TempPathFactory, contents: dict[str, bytes], data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "told.pth"
    path.unlink(missing_ok=True)  # a new file: the old one may still be mapped
    path.write_bytes(data.draw(damaged(contents)))
    with contextlib.suppress(BadCheckpoint):
        found = told(path)
        assert found.tensors
        assert sum(row.tensors for row in found.modules) == len(found.tensors)
