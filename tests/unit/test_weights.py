"""The state dicts inside a checkpoint, the likeliest first, and what training left beside them."""

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from handlers import checkpoint
from handlers.errors import BadCheckpoint
from handlers.inert import Foreign
from scripts.inspection.opened import Opened
from scripts.inspection.weights import MOST_BESIDE, Extra, Weights, choices, extras

STATE = {"fc.weight": torch.ones(2, 3), "fc.bias": torch.ones(2)}


def opened(root: object) -> Opened:
    return Opened(Path("w.pth"), "torch zip", root, 0)


def keys(root: object) -> list[str | None]:
    return [one.key for one in choices(opened(root))]


def other() -> dict[str, torch.Tensor]:
    return {"main.weight": torch.ones(4, 4), "main.bias": torch.ones(4)}


def compiled(module: nn.Module) -> nn.Module:
    """Under the name that torch.compile gives to what it wraps."""
    return nn.ModuleDict({"_orig_mod": module})


# Weights


def test_a_plain_state_dict_is_the_file_itself() -> None:
    (only,) = choices(opened(STATE))
    assert (only.key, only.wrappers, only.averaged) == (None, (), False)
    assert list(only.state) == list(STATE)
    assert only.state["fc.weight"] is STATE["fc.weight"]


@pytest.mark.parametrize("key", checkpoint.WEIGHT_KEYS)
def test_weights_are_found_under_every_key_that_a_worker_knows(key: str) -> None:
    saved = {
        "epoch": 3,
        "optimizer": {"state": {}, "param_groups": []},
        key: STATE,
        "best": torch.tensor(0.9),
    }
    assert keys(saved) == [key]


@pytest.mark.parametrize(
    "saved", [{"model": {"state_dict": STATE}, "epoch": 1}, {"run7": {"state_dict": STATE}}]
)
def test_weights_are_found_one_entry_deeper(saved: dict[str, object]) -> None:
    assert keys(saved)[0] in ("model.state_dict", "run7.state_dict")


def test_deeper_than_a_worker_looks_there_are_none() -> None:
    assert keys({"a": {"b": {"c": STATE}}}) == []


def test_the_raw_weights_come_before_their_averages() -> None:
    saved = {"state_dict_ema": STATE, "ema": {"module": STATE}, "state_dict": STATE}
    assert keys(saved) == ["state_dict", "state_dict_ema", "ema.module"]
    assert [one.averaged for one in choices(opened(saved))] == [False, True, True]


@pytest.mark.parametrize("key", ["model_ema", "ema_model", "net.ema", "swa_state", "shadow", "params_ema"])
def test_averages_are_told_by_their_keys(key: str) -> None:
    assert Weights(key, STATE).averaged


@pytest.mark.parametrize("key", [None, "model", "schema", "cinema", "netG"])
def test_other_keys_are_no_averages(key: str | None) -> None:
    assert not Weights(key, STATE).averaged


def test_networks_of_one_game_are_each_a_choice_in_the_order_of_the_file() -> None:
    assert keys({"netG": STATE, "netD": other(), "optG": {"m": torch.ones(3)}}) == ["netG", "netD", "optG"]
    assert keys({"netD": other(), "params": STATE}) == ["params", "netD"]


def test_tensors_of_training_are_no_weights_where_there_are_others() -> None:
    saved = {"optimizer": {"m": torch.ones(3)}, "criterion": {"weight": torch.ones(3)}, "encoder": STATE}
    assert keys(saved) == ["encoder"]
    assert keys({"best_loss_model": STATE}) == ["best_loss_model"]


@pytest.mark.parametrize(
    ("wrapped", "worn"),
    [
        (nn.DataParallel(nn.Linear(3, 2)), ("DataParallel",)),
        (AveragedModel(nn.Linear(3, 2)), ("AveragedModel",)),
        (compiled(nn.Linear(3, 2)), ("torch.compile",)),
        (compiled(nn.DataParallel(nn.Linear(3, 2))), ("DataParallel", "torch.compile")),
        (nn.Sequential(nn.Linear(3, 2)), ()),
    ],
    ids=["DataParallel", "AveragedModel", "compile", "both", "none"],
)
def test_wrappers_are_told_and_taken_off(wrapped: nn.Module, worn: tuple[str, ...]) -> None:
    (only,) = choices(opened({"model": wrapped.state_dict()}))
    assert only.wrappers == worn
    assert only.averaged == ("AveragedModel" in worn)
    assert {name.rpartition(".")[2] for name in only.state} == {"weight", "bias"}
    assert list(only.state) == list(checkpoint.without_wrappers(dict(wrapped.state_dict())))


def test_extra_state_of_modules_is_left_out() -> None:
    assert list(choices(opened({**STATE, "q._extra_state": {"scale": 1}}))[0].state) == list(STATE)


@pytest.mark.parametrize(
    "root", [None, 7, "text", [STATE], {}, {"epoch": 1}, {0: STATE}, Foreign("os.system", ("ls",))]
)
def test_what_holds_no_weights_has_no_choices(root: object) -> None:
    assert keys(root) == []


def test_a_tree_that_refers_to_itself_without_end_is_read() -> None:
    loop: dict[str, object] = {"weights": STATE}
    loop["self"] = loop
    loop["again"] = {f"k{index}": loop for index in range(1000)}
    assert keys(loop) == ["weights"]
    assert len(keys({f"k{index}": STATE for index in range(10**5)})) == 64
    laughs = {f"k{index}": index for index in range(10**4)}
    assert keys({f"k{index}": laughs for index in range(10**5)}) == []


def test_a_worker_finds_what_stands_first(tmp_path: Path) -> None:
    """With the key as handler.weights_key, whatever the file looks like."""
    saved = {"epoch": 1, "state_dict": {f"module.{name}": one for name, one in STATE.items()}, "ema": STATE}
    for index, root in enumerate((STATE, saved, {"a": {"b": STATE}}, OrderedDict(STATE))):
        path = tmp_path / f"{index}.pth"  # the one before is mapped
        torch.save(root, path)
        first = choices(opened(root))[0]
        read = checkpoint.without_wrappers(checkpoint.read(path, first.key))
        assert list(read) == list(first.state)
    torch.save(saved, tmp_path / "w.pth")
    with pytest.raises(BadCheckpoint):  # two state dicts, and no key
        checkpoint.read(tmp_path / "w.pth")


# What is beside them


def beside(root: object) -> list[Extra]:
    return extras(opened(root), choices(opened(root))[0])


def test_what_training_left_is_told_in_the_order_of_the_file() -> None:
    moments = {0: {"step": torch.tensor(1.0), "exp_avg": torch.zeros(2, 3)}}
    saved = {
        "epoch": 12,
        "model": STATE,
        "optimizer": {"state": moments, "param_groups": [{"lr": 0.1, "params": [0]}]},
        "args": {"arch": "resnet50"},
        "best_acc": torch.tensor(0.5),
    }
    assert beside(saved) == [
        Extra("epoch", "12"),
        Extra("optimizer", "2 tensors, 28 B, lr 0.1"),
        Extra("args", "arch resnet50"),
        Extra("best_acc", "0.5"),
    ]


def test_a_label_map_is_given_in_the_order_of_the_outputs() -> None:
    saved = {"net": STATE, "class_to_idx": {"dog": 1, "cat": 0}}
    assert beside(saved) == [Extra("class_to_idx", "2 labels: cat, dog", ("cat", "dog"))]


def test_label_maps_are_found_in_hyper_parameters_and_namespaces() -> None:
    namespace = Foreign("argparse.Namespace", ())
    namespace.state = {"lr": 0.1, "classes": ["a", "b", "c", "d"]}
    saved = {
        "net": STATE,
        "hyper_parameters": {"data": {"id2label": {0: "cat", 1: "dog"}}},
        "args": namespace,
    }
    told = {one.key: one for one in beside(saved)}
    assert told["hyper_parameters.data.id2label"].labels == ("cat", "dog")
    assert told["args.classes"] == Extra("args.classes", "4 labels: a, b, c, ...", ("a", "b", "c", "d"))


def test_other_weights_are_choices_and_not_extras() -> None:
    saved = {"model": {"state_dict": STATE, "arch": "net"}, "model_ema": STATE, "epoch": 1}
    assert [one.key for one in beside(saved)] == ["model.arch", "epoch"]


def test_a_plain_state_dict_has_nothing_beside_it() -> None:
    assert beside(STATE) == []


def test_what_safetensors_says_of_itself_is_beside_them() -> None:
    described = Opened(Path("w"), "safetensors", STATE, 0, metadata={"format": "pt", "epoch": "7"})
    assert extras(described, choices(described)[0]) == [Extra("epoch", "7")]


def test_labels_that_a_pickled_module_carries_are_found() -> None:
    module = Foreign("cats.Net", ())
    module.state = {"_parameters": STATE, "_buffers": {}, "_modules": {}, "names": {0: "cat", 1: "dog"}}
    assert beside({"model": module, "epoch": 1}) == [
        Extra("epoch", "1"),
        Extra("names", "2 labels: cat, dog", ("cat", "dog")),
    ]
    assert beside(module) == [Extra("names", "2 labels: cat, dog", ("cat", "dog"))]


def test_extras_of_a_tree_that_refers_to_itself_end() -> None:
    loop: dict[str, object] = {f"k{index}": index for index in range(100)}
    loop.update({f"self{index}": loop for index in range(1000)})
    assert {one.key for one in beside({"net": STATE, "loop": loop})} == {"loop"}


def subclassed(**pairs: object) -> Foreign:
    """An instance of a dict's subclass, as its pickle leaves it."""
    found = Foreign("cats.Config", ())
    found.pairs.extend(pairs.items())
    return found


def test_weights_in_a_subclass_of_a_dict_are_weights() -> None:
    state = Foreign("cats.Ordered", ())
    state.pairs.extend(STATE.items())
    (only,) = choices(opened(state))
    assert (only.key, list(only.state)) == (None, list(STATE))
    found = opened(subclassed(model=state, epoch=3))
    (inside,) = choices(found)
    assert (inside.key, list(inside.state)) == ("model", list(STATE))
    assert extras(found, inside) == [Extra("epoch", "3")]


def test_what_stands_among_the_weights_is_beside_them() -> None:
    found = opened({**STATE, "epoch": 3, "fc._extra_state": b"", "classes": ["cat", "dog"]})
    (only,) = choices(found)
    assert list(only.state) == list(STATE)
    told = extras(found, only)
    assert told == [Extra("epoch", "3"), Extra("classes", "2 labels: cat, dog", ("cat", "dog"))]


def test_the_config_beside_the_file_may_hold_labels() -> None:
    found = Opened(
        Path("model.safetensors"), "safetensors", STATE, 0, config={"id2label": {"0": "cat", "1": "dog"}}
    )
    told = extras(found, choices(found)[0])
    assert [one.key for one in told] == ["config.json", "config.json.id2label"]
    assert told[1].labels == ("cat", "dog")


def test_only_so_many_entries_are_looked_at() -> None:
    found = opened({"model": STATE, **{f"k{number}": number for number in range(MOST_BESIDE + 7)}})
    told = extras(found, choices(found)[0])
    assert len(told) == MOST_BESIDE + 1
    assert told[-1] == Extra("...", "and 7 more entries")


def test_what_a_file_refers_to_often_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{number}" for number in range(50)]
    inside = {f"classes_{number}": names for number in range(50)}
    looked: list[object] = []
    summarised: list[object] = []

    def counting(key: str, value: object) -> tuple[str, ...]:
        looked.append(value)
        return ()

    def described(value: object) -> str:
        summarised.append(value)
        return "much"

    monkeypatch.setattr("scripts.inspection.beside.labels", counting)
    monkeypatch.setattr("scripts.inspection.beside.summary", described)
    found = opened({"model": STATE, **{f"k{number}": inside for number in range(50)}})
    told = extras(found, choices(found)[0])
    assert [one.summary for one in told] == ["much"] * 50
    assert (looked, summarised) == ([names], [inside])
