"""What sort of checkpoint a file is, in a sentence."""

from pathlib import Path

import pytest
import torch

from handlers.inert import Foreign
from scripts.inspection.kinds import kind, pickled_class
from scripts.inspection.opened import Format, Opened
from scripts.inspection.weights import choices, extras

STATE = {"fc.weight": torch.ones(2, 3), "fc.bias": torch.ones(2)}
WRAPPED = {f"module.{name}": value for name, value in STATE.items()}


def pickled() -> Foreign:
    module = Foreign("cats.net.CatNet", ())
    module.state = {"_parameters": dict(STATE), "_buffers": {}, "_modules": {}, "training": True}
    return module


def told(root: object, form: Format = "torch zip") -> str:
    opened = Opened(Path("w.pth"), form, root, 0)
    chosen = choices(opened)[0]
    return kind(opened, chosen, extras(opened, chosen))


@pytest.mark.parametrize(
    ("root", "sentence"),
    [
        (STATE, "a state dict"),
        (WRAPPED, "a state dict, saved from DataParallel"),
        (
            {"state_dict": WRAPPED, "epoch": 3, "optimizer": {}},
            "a training checkpoint: weights under 'state_dict', saved from DataParallel, "
            "beside epoch, optimizer",
        ),
        ({"net": {"model": STATE, "arch": "a"}}, "a training checkpoint: weights under 'net.model'"),
        (
            {"pytorch-lightning_version": "2.1.0", "state_dict": STATE, "epoch": 1},
            "a checkpoint of Lightning 2.1.0: weights under 'state_dict', beside epoch",
        ),
        (pickled(), "a whole pickled model of class cats.net.CatNet"),
        (
            {"epoch": 3, "model": pickled()},
            "a training checkpoint: a whole pickled model of class cats.net.CatNet under 'model', "
            "beside epoch",
        ),
        ({"\x1b[2J": STATE}, r"a training checkpoint: weights under '\\x1b[2J'"),
    ],
)
def test_what_a_file_is(root: object, sentence: str) -> None:
    assert told(root) == sentence


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ("torch zip", "a state dict"),
        ("torch legacy", "a state dict in torch's format from before 1.6"),
        ("safetensors", "a state dict in safetensors"),
        ("sharded", "a state dict in several files"),
        ("TorchScript", "a TorchScript model, which carries its own architecture"),
        ("exported program", "an exported program of torch.export"),
        ("torch.package", "a torch.package archive, which carries its own code"),
    ],
)
def test_every_format_has_its_words(form: Format, sentence: str) -> None:
    assert told(STATE, form) == sentence


def test_what_is_inside_a_package_is_told_with_its_place() -> None:
    assert told({"pkg": {"model.pkl": pickled()}}, "torch.package") == (
        "a torch.package archive, which carries its own code: "
        "a whole pickled model of class cats.net.CatNet under 'pkg.model.pkl'"
    )


def test_torchscript_is_no_pickled_model() -> None:
    module = Foreign("__torch__.Net", ())
    module.state = dict(STATE)
    assert told(module, "TorchScript") == "a TorchScript model, which carries its own architecture"
    opened = Opened(Path("w.pth"), "TorchScript", module, 0)
    assert pickled_class(opened, choices(opened)[0]) is None


def test_only_weights_of_a_pickled_module_have_a_class() -> None:
    opened = Opened(Path("w.pth"), "torch zip", {"raw": STATE, "model": pickled()}, 0)
    classes = {one.key: pickled_class(opened, one) for one in choices(opened)}
    assert classes == {"raw": None, "model": "cats.net.CatNet"}


def test_a_subclass_of_a_dict_is_no_pickled_model() -> None:
    saved = Foreign("cats.Ordered", ())
    saved.pairs.extend(STATE.items())
    opened = Opened(Path("w.pth"), "torch zip", saved, 0)
    assert pickled_class(opened, choices(opened)[0]) is None
