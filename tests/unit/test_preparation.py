"""How inputs are prepared when no published weights say it: as asked, or as shapes and samples tell."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from handlers.recipe import ImageInput, TensorInput
from scripts.errors import CommandError
from scripts.recipes import preparation


def picture(path: Path, size: tuple[int, int]) -> Path:
    Image.new("RGB", size).save(path)
    return path


def test_what_is_asked_is_taken_and_not_assumed() -> None:
    found = preparation.asked("{kind: image, resize: 28, crop: 28, mode: L}")
    assert found.inputs == ImageInput(mode="L", resize=28, crop=28)
    assert not found.assumed


@pytest.mark.parametrize("text", ["{kind: image, size: 28}", "{kind: sound}", "28", "{kind: [", ""])
def test_what_is_no_input_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(CommandError, match=r"--input is .*; write it as in the recipe: '\{kind: image"):
        preparation.asked(text)


def test_a_first_convolution_takes_pictures_of_its_channels() -> None:
    assert preparation.from_shapes(3, None, []).inputs == ImageInput(resize=[224, 224])
    assert preparation.from_shapes(1, None, []).inputs == ImageInput(mode="L", resize=[224, 224])


@pytest.mark.parametrize(
    ("size", "taken"), [((28, 32), [32, 28]), ((224, 224), [224, 224]), ((640, 480), [224, 224])]
)
def test_a_small_sample_says_how_large_pictures_are(
    tmp_path: Path, size: tuple[int, int], taken: list[int]
) -> None:
    found = preparation.from_shapes(3, None, [picture(tmp_path / "a.png", size)])
    assert isinstance(found.inputs, ImageInput)
    assert found.inputs.resize == taken
    assert found.assumed


def test_a_first_linear_layer_takes_so_many_numbers(tmp_path: Path) -> None:
    found = preparation.from_shapes(None, (10,), [picture(tmp_path / "a.png", (9, 9))])
    assert found.inputs == TensorInput(shape=[10])
    assert found.assumed  # whether they were standardised, nothing tells


def test_samples_say_what_shapes_do_not(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((3, 5)))
    (tmp_path / "b.json").write_text(json.dumps({"input": [1, 2, 3, 4]}))
    (tmp_path / "c.txt").write_text("no numbers")
    assert preparation.from_shapes(None, None, [tmp_path / "a.npy"]).inputs == TensorInput(shape=[3, 5])
    assert preparation.from_shapes(None, None, [tmp_path / "b.json"]).inputs == TensorInput(shape=[4])
    found = preparation.from_shapes(None, None, [tmp_path / "c.txt"])
    assert "placeholder" in found.unknown[0]
    pictures = preparation.from_shapes(None, None, [picture(tmp_path / "d.png", (8, 6))])
    assert pictures.inputs == ImageInput(resize=[6, 8])


def test_channels_that_no_picture_has_are_a_tensor() -> None:
    assert preparation.from_shapes(4, None, []).inputs == TensorInput(shape=[4, 224, 224])


def test_a_sample_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"gone\.json isn't there"):
        preparation.from_shapes(None, None, [tmp_path / "gone.json"])


@pytest.mark.parametrize(("count", "mode"), [(28 * 30, "L"), (3 * 28 * 30, "RGB")])
def test_numbers_as_many_as_the_samples_pixels_are_a_flattened_picture(
    tmp_path: Path, count: int, mode: str
) -> None:
    found = preparation.from_shapes(None, [count], [picture(tmp_path / "a.png", (30, 28))])
    assert found.inputs == ImageInput(mode=mode, resize=[28, 30], flatten=True)
    assert found.assumed


def test_numbers_of_another_count_stay_numbers(tmp_path: Path) -> None:
    sample = picture(tmp_path / "a.png", (30, 28))
    assert preparation.from_shapes(None, [28 * 30 + 1], [sample]).inputs == TensorInput(shape=[28 * 30 + 1])
    assert preparation.from_shapes(None, [28 * 30], []).inputs == TensorInput(shape=[28 * 30])
