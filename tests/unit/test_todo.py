"""What init leaves to its owner: what fails first, each step once, and serving last."""

from pathlib import Path
from typing import Any

from handlers.recipe import Architecture, Model, Output, Recipe, Sample, TensorInput
from scripts.checking.finding import Finding
from scripts.recipes import todo
from scripts.recipes.decided import Meaning, Network, Preparation
from scripts.recipes.sizing import Sizing
from scripts.recipes.text import Drafted

FOLDER = Path("models/cats")
NUMBERS = TensorInput(shape=[4])
ASSUMED = Finding("assumed", "warn", "handler.input is assumed", "compare it")
UNPROVEN = Finding("samples", "warn", "no sample proves its answers", "add one")
PROOF = Sample("samples/a.json", expect="samples/a.npy")


def steps(*findings: Finding, task: str = "tensor", source: bytes = b"", **model: Any) -> list[str]:
    network = Network("a draft", Architecture(class_="model.py:Net"), {"model.py": source})
    made = Drafted(
        name="cats",
        origin="",
        weights="cats.pth",
        weights_key=None,
        network=network,
        preparation=Preparation(NUMBERS, assumed=True),
        meaning=Meaning(task),
        samples=(),
        sizing=Sizing(1, 1),
    )
    recipe = Recipe(Model(name="cats", version="1.0", task=task, weights="cats.pth", input=NUMBERS, **model))
    return list(todo.left(made, recipe, FOLDER, findings))


def test_what_is_proven_is_only_to_be_served() -> None:
    assert steps(samples=[PROOF], assumed=["architecture", "input"]) == ["scripts/pthserve up cats"]


def test_failures_come_first_and_are_checked_again() -> None:
    warning = Finding("outputs", "warn", "are the same", "look at the weights")
    failure = Finding("forward pass", "fail", "raises", "write forward")
    told = steps(warning, failure, samples=[PROOF])
    assert told == [
        "forward pass: raises; write forward",
        "outputs: are the same; look at the weights",
        "scripts/pthserve check cats",
        "scripts/pthserve up cats",
    ]


def test_what_one_sample_settles_is_told_once() -> None:
    first, second, last = steps(
        ASSUMED, ASSUMED, UNPROVEN, assumed=["architecture", "input"], source=b"# confirm: x"
    )
    assert first.startswith("architecture and input: assumed, and nothing proves it yet; compare what says ")
    assert f"DECIDE in {FOLDER / 'recipe.yaml'} and `confirm` in model.py with your training code" in first
    assert second == f"samples: give one with `expect`, which proves that for good: {todo.TEN_LINES}"
    assert last == "scripts/pthserve up cats"


def test_only_a_model_py_that_asks_is_to_be_confirmed() -> None:
    assert not any("model.py" in step for step in steps(ASSUMED, assumed=["input"], source=b"class Net:"))


def test_a_sample_that_fails_is_told_as_what_it_is() -> None:
    failure = Finding("samples", "fail", "samples/a.json differs", "compare")
    assert steps(failure, samples=[PROOF])[0] == "samples: samples/a.json differs; compare"


def test_labels_are_asked_for_where_classes_have_none() -> None:
    asked = steps(task="classify", samples=[PROOF])
    assert asked[0].startswith(f"labels: write them, one a line in the order of training, into {FOLDER}")
    named = steps(task="classify", samples=[PROOF], output=Output(labels="labels.txt"))
    assert named == steps(task="tensor", samples=[PROOF]) == ["scripts/pthserve up cats"]
