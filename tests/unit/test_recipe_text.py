"""A drafted recipe.yaml: it reads back as what was decided, whatever stands in the words."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from handlers import recipe
from handlers.recipe import Architecture, ImageInput, Output, Sample, TensorInput
from scripts.recipes import text
from scripts.recipes.decided import Meaning, Network, Preparation
from scripts.recipes.sizing import Sizing
from scripts.recipes.text import Drafted

PICTURES = Preparation(
    ImageInput(resize=256, crop=224, mean=[0.5, 0.5, 0.5], std=[0.2, 0.2, 0.2]),
    assumed=True,
    unknown=("size",),
)


def drafted(**parts: object) -> Drafted:
    given: dict[str, object] = {
        "name": "cats",
        "origin": "Drafted from cats.pth.",
        "weights": "cats.pth",
        "weights_key": None,
        "network": Network("resnet50", Architecture(torchvision="resnet50", args={"num_classes": 37})),
        "preparation": PICTURES,
        "meaning": Meaning("classify", Output(labels="labels.txt", top_k=5)),
        "samples": (),
        "sizing": Sizing(2, 3),
        **parts,
    }
    return Drafted(**given)  # type: ignore[arg-type]


def read(one: Drafted) -> recipe.Recipe:
    return recipe.parse(text.write(one), Path("recipe.yaml"))


def test_a_drafted_recipe_reads_back_as_what_was_decided() -> None:
    network = Network(
        "resnet50",
        Architecture(factory="model.py:network", args={"num_classes": 37, "widths": [1, 2]}),
        strip_prefix="model.",
        allow_unexpected=("loss.*",),
    )
    samples = (Sample("samples/a.jpg", expect="samples/a.npy"), Sample("samples/b.jpg"))
    found = read(drafted(network=network, samples=samples, weights_key="ema.module"))
    model = found.handler
    assert (model.name, model.version, model.task, model.weights) == ("cats", "1.0", "classify", "cats.pth")
    assert (found.min_workers, found.max_workers) == (2, 2)
    assert model.architecture == network.architecture
    assert (model.strip_prefix, model.allow_unexpected) == ("model.", ["loss.*"])
    assert model.weights_key == "ema.module"
    assert model.input == PICTURES.inputs
    assert model.output == Output(labels="labels.txt", top_k=5)
    assert model.samples == list(samples)


def test_torchscript_has_no_architecture() -> None:
    assert read(drafted(network=Network("TorchScript"))).handler.architecture is recipe_unset()


def recipe_unset() -> object:
    return recipe.Model("a", "1", "tensor", "a.pth", TensorInput(shape=[1])).architecture


@pytest.mark.parametrize(
    ("network", "preparation", "meaning", "assumed"),
    [
        (Network("x"), Preparation(TensorInput(shape=[4]), assumed=False), Meaning("tensor"), []),
        (
            Network("x", drafted=True),
            PICTURES,
            Meaning("regress", assumed=True),
            ["architecture", "input", "output"],
        ),
        (Network("x"), PICTURES, Meaning("tensor"), ["input"]),
    ],
)
def test_what_is_assumed_is_written_down(
    network: Network, preparation: Preparation, meaning: Meaning, assumed: list[str]
) -> None:
    found = read(drafted(network=network, preparation=preparation, meaning=meaning))
    assert found.handler.assumed == assumed


def test_every_unknown_is_a_comment_beside_its_part() -> None:
    network = Network("x", unknown=("the stride: " + "long " * 40, "dropout"))
    lines = text.write(drafted(network=network)).splitlines()
    told = [line.strip() for line in lines if "DECIDE" in line]
    assert told[0].startswith("# DECIDE architecture: the stride: long long")
    assert told[1:3] == ["# DECIDE architecture: dropout", "# DECIDE input: size"]
    assert max(map(len, lines)) <= 110


@given(st.text(max_size=60), st.text(min_size=1, max_size=30))
def test_no_word_of_a_file_ends_its_comment_or_changes_the_recipe(clause: str, key: str) -> None:
    """Clauses and keys come from names in the checkpoint."""
    network = Network("x", Architecture(torchvision="resnet18", args={"num_classes": 2}), unknown=(clause,))
    found = read(drafted(network=network, origin=clause, weights_key=key))
    assert found.handler.weights_key == key
    assert found.handler.architecture == network.architecture
    assert found.handler.assumed == ["input"]


def test_words_of_any_script_stay_readable_and_what_steers_is_escaped() -> None:
    assert text.pair("weights_key", "模型") == "weights_key: 模型"
    hostile = text.pair("weights_key", "模\u202e\x1b[2J\n型")
    assert hostile.isprintable()
    assert yaml.safe_load(hostile) == {"weights_key": "模\u202e\x1b[2J\n型"}
