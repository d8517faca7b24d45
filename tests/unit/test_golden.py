"""golden: a sample passes where the model answers as its owner's code did, and catches what differs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from handlers import golden, recipe
from handlers.errors import BadRecipe, SampleMismatch
from handlers.handler import Handler
from handlers.runtimes import Candidate, Opened
from tests import tiny_models

MODELS = Path(__file__).resolve().parents[2] / "models"
NAMES = sorted(path.parent.name for path in MODELS.glob("*/recipe.yaml"))


def replay(folder: Path) -> list[golden.Replayed]:
    return golden.replay(Handler.open(folder), folder)


def copied(name: str, tmp_path: Path, **changes: Any) -> Path:
    """A copy of a committed model, its handler's keys changed; in a dict, keys of that part."""
    folder = tmp_path / name
    shutil.copytree(MODELS / name, folder)
    tree = yaml.safe_load((folder / "recipe.yaml").read_text())
    for key, value in changes.items():
        part = tree["handler"][key]
        if isinstance(part, list) and isinstance(value, dict):
            part = part[0]
        if isinstance(part, dict):
            part.update(value)
        else:
            tree["handler"][key] = value
    (folder / "recipe.yaml").write_text(yaml.safe_dump(tree))
    return folder


def mismatch(folder: Path) -> str:
    with pytest.raises(SampleMismatch) as caught:
        replay(folder)
    return str(caught.value)


def complete(name: str) -> Path:
    """The model's folder; skips where its weights weren't fetched or trained yet."""
    folder = MODELS / name
    if recipe.missing_files(recipe.load(folder), folder):
        pytest.skip(f"{name} has no weights here")
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_every_model_answers_its_samples(name: str) -> None:
    folder = complete(name)
    replayed = replay(folder)
    assert [one.sample for one in replayed] == [one.input for one in recipe.load(folder).handler.samples]
    assert len(replayed) >= 2
    for one in replayed:
        assert one.expected_by == "owner"
        assert one.largest_error < 1e-3


@pytest.mark.parametrize("name", ["digits_mlp", "digits_cnn", "diabetes", "diabetes_risk"])
def test_the_four_small_models_are_committed_whole(name: str) -> None:
    assert recipe.missing_files(recipe.load(MODELS / name), MODELS / name) == []


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        ("digits_mlp", {"input": {"mean": [0.4]}}),
        ("digits_mlp", {"input": {"std": [0.25]}}),
        ("digits_mlp", {"input": {"rescale_factor": 1.0}}),
        ("digits_mlp", {"input": {"crop": 20, "resize": 20}}),
        ("digits_mlp", {"input": {"mode": "RGB", "mean": [0.5] * 3, "std": [0.5] * 3}}),
        ("digits_cnn", {"input": {"mean": [0.485, 0.456, 0.406]}}),
        ("digits_cnn", {"input": {"mode": "L", "mean": [0.5], "std": [0.5]}}),
        ("digits_cnn", {"input": {"resize": 32}}),
        ("diabetes", {"output": {"mean": 0.0}}),
        ("diabetes", {"output": {"std": 1.0}}),
        ("mobilenet_v2", {"input": {"mean": [0.5] * 3}}),
        ("mobilenet_v2", {"input": {"std": [0.5] * 3}}),
        ("mobilenet_v2", {"input": {"mean": [0.406, 0.456, 0.485]}}),
        ("mobilenet_v2", {"input": {"resize": 232}}),
        ("mobilenet_v2", {"input": {"resize": [256, 256]}}),
        ("mobilenet_v2", {"input": {"crop": 256}}),
        ("mobilenet_v2", {"input": {"interpolation": "bicubic"}}),
    ],
)
def test_another_preparation_or_scale_than_in_training_is_caught(
    model: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    complete(model)
    message = mismatch(copied(model, tmp_path, **changes))
    assert message.startswith("sample samples/")
    assert "(alone)" in message


def test_swapped_labels_are_caught_and_both_are_named(tmp_path: Path) -> None:
    folder = copied("digits_cnn", tmp_path)
    labels = (folder / "labels.txt").read_text().splitlines()
    labels[4], labels[9] = labels[9], labels[4]
    (folder / "labels.txt").write_text("\n".join(labels))
    message = mismatch(folder)
    assert "samples/four.png (alone): expected 'four', got 'nine' (score 1.0000)" in message
    assert "the order of the labels" in message


def test_untrained_weights_are_caught(tmp_path: Path) -> None:
    folder = copied("digits_mlp", tmp_path)
    trained = torch.load(folder / "weights.pth", weights_only=True)
    generator = torch.Generator().manual_seed(0)
    torch.save(
        {name: torch.randn(value.shape, generator=generator) for name, value in trained.items()},
        folder / "weights.pth",
    )
    assert "expected" in mismatch(folder)


BATCH_SENSITIVE = "return x + (0.5 if len(x) > 1 else 0.0)"


def tiny(tmp_path: Path, forward: str, inputs: list[str], expects: list[Any], **handler: Any) -> Path:
    """A tiny model with these samples; an `expect` of None is left out, of an array saved beside."""
    samples = []
    for index, expect in enumerate(expects):
        sample: dict[str, Any] = {"input": f"s{index}.json"}
        if isinstance(expect, np.ndarray):
            sample["expect"] = f"s{index}.npy"
        elif expect is not None:
            sample["expect"] = expect
        samples.append(sample)
    tolerance = handler.pop("tolerance", None)
    if "handler_tolerance" in handler:
        handler["tolerance"] = handler.pop("handler_tolerance")
    for sample in samples:
        sample.update({"tolerance": tolerance} if tolerance else {})
    folder = tiny_models.write(tmp_path / "m", forward, samples=samples, **handler)
    for index, (text, expect) in enumerate(zip(inputs, expects, strict=True)):
        (folder / f"s{index}.json").write_text(text)
        if isinstance(expect, np.ndarray):
            np.save(folder / f"s{index}.npy", expect)
    return folder


def test_values_and_arrays_are_compared_with_the_output(tmp_path: Path) -> None:
    folder = tiny(tmp_path, "return x * 2", ["[1, 2]", "[3, 4]"], [[2.0, 4.0], np.array([6.0, 8.0])])
    assert [one.largest_error for one in replay(folder)] == [0, 0]


def test_values_of_regress_are_in_the_targets_unit_and_arrays_are_raw(tmp_path: Path) -> None:
    folder = tiny(
        tmp_path,
        "return x",
        ["[1, 2]", "[1, 2]"],
        [[110.0, 120.0], np.array([1.0, 2.0])],
        task="regress",
        output={"mean": 100.0, "std": 10.0},
    )
    assert len(replay(folder)) == 2


def test_a_mismatch_shows_expected_got_and_where(tmp_path: Path) -> None:
    expected = np.array([[1.0, 2.0], [3.0, 7.5]])
    message = mismatch(tiny(tmp_path, "return x", ["[[1, 2], [3, 4]]"], [expected], input=MATRIX))
    assert "sample s0.json (alone): expected 7.5, got 4 at [1, 1]" in message
    assert "1 of 4 values differ" in message


MATRIX = {"kind": "tensor", "shape": [2, 2]}


def test_what_differs_only_in_a_batch_is_caught_as_that(tmp_path: Path) -> None:
    folder = tiny(tmp_path, BATCH_SENSITIVE, ["[1, 2]"], [[1.0, 2.0]], batch_size=4)
    assert "s0.json (in a batch of 4): expected 1, got 1.5 at [0]" in mismatch(folder)
    shutil.rmtree(folder)
    assert len(replay(tiny(tmp_path, BATCH_SENSITIVE, ["[1, 2]"], [[1.0, 2.0]], batch_size=1))) == 1


@pytest.mark.parametrize(("off", "passes"), [(0.05, True), (0.07, False)])
def test_the_tolerance_is_absolute_plus_relative(off: float, passes: bool, tmp_path: Path) -> None:
    tolerance = {"absolute": 0.01, "relative": 0.005}  # of 10: 0.06
    folder = tiny(tmp_path, f"return x + {off}", ["[10, 10]"], [[10.0, 10.0]], tolerance=tolerance)
    if passes:
        (replayed,) = replay(folder)
        assert replayed.largest_error == pytest.approx(off, abs=1e-6)
    else:
        assert "(allowed difference 0.06)" in mismatch(folder)


def test_the_default_tolerance_is_small(tmp_path: Path) -> None:
    assert len(replay(tiny(tmp_path, "return x + 0.0009", ["[1, 1]"], [[1.0, 1.0]]))) == 1
    shutil.rmtree(tmp_path / "m")
    assert "expected 1" in mismatch(tiny(tmp_path, "return x + 0.0013", ["[1, 1]"], [[1.0, 1.0]]))


@pytest.mark.parametrize("expect", [[1.0], [1.0, 2.0, 3.0], np.array([[1.0, 2.0]])])
def test_an_expectation_of_another_shape_is_caught(expect: Any, tmp_path: Path) -> None:
    message = mismatch(tiny(tmp_path, "return x", ["[1, 2]"], [expect]))
    assert f"expected the shape {list(np.shape(expect))}, got [2]" in message


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_expectation_that_is_not_finite_never_passes(value: float, tmp_path: Path) -> None:
    assert "NaN or infinity" in mismatch(tiny(tmp_path, "return x", ["[1, 2]"], [np.array([1.0, value])]))


def test_a_sample_that_is_refused_is_told_with_its_reason(tmp_path: Path) -> None:
    assert "s0.json (alone) was refused" in mismatch(
        tiny(tmp_path, "raise ValueError('odd')", ["[1, 2]"], [[1.0, 2.0]])
    )


def refused(folder: Path, step: Callable[[Handler, Path], object] = golden.replay) -> str:
    with pytest.raises(BadRecipe) as caught:
        step(Handler.open(folder), folder)
    return str(caught.value)


def test_a_sample_of_many_items_is_refused(tmp_path: Path) -> None:
    assert "s0.json holds 2 items" in refused(tiny(tmp_path, "return x", ["[[1, 2], [3, 4]]"], [[1.0, 2.0]]))


def test_a_sample_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    assert "sample s0.json: the input's shape is [3]" in refused(
        tiny(tmp_path, "return x", ["[1, 2, 3]"], [[1.0, 2.0]])
    )


def test_a_missing_array_is_told_before_the_model_is_opened(tmp_path: Path) -> None:
    folder = tiny(tmp_path, "return x", ["[1, 2]"], [np.array([1.0, 2.0])])
    (folder / "s0.npy").unlink()
    with pytest.raises(BadRecipe, match=r"samples\[0\].expect is 's0.npy'; the file isn't there"):
        Handler.open(folder)


@pytest.mark.parametrize("content", [b"", b"text", b"\x93NUMPY"])
def test_an_array_that_cannot_be_read_is_refused(content: bytes, tmp_path: Path) -> None:
    folder = tiny(tmp_path, "return x", ["[1, 2]"], [np.array([1.0, 2.0])])
    (folder / "s0.npy").write_bytes(content)
    assert "s0.npy is no .npy array" in refused(folder)


def test_a_label_is_expected_of_classify_alone(tmp_path: Path) -> None:
    assert "only the task classify answers with labels" in refused(
        tiny(tmp_path, "return x", ["[1, 2]"], ["cat"])
    )


def test_a_label_passes_where_it_is_the_best(tmp_path: Path) -> None:
    assert len(replay(tiny(tmp_path, "return x", ["[1, 2]", "[2, 1]"], ["1", "0"], task="classify"))) == 2


def test_what_has_no_expectation_is_recorded_once_and_then_compared(tmp_path: Path) -> None:
    folder = tiny(tmp_path, "return x * self.scale", ["[1, 2]", "[3, 4]"], [None, [3.0, 4.0]])
    assert "no `expect`, and no recorded answer in s0.json.recorded.npy" in refused(folder)
    recorded = golden.record(Handler.open(folder), folder)
    assert list(recorded) == [folder / "s0.json.recorded.npy"]
    for path, values in recorded.items():
        np.save(path, values)
    assert golden.record(Handler.open(folder), folder) == {}
    assert [one.expected_by for one in replay(folder)] == ["recording", "owner"]
    torch.save({"scale": torch.full((1,), 1.5)}, folder / "weights.pth")
    assert golden.record(Handler.open(folder), folder) == {}
    assert "s0.json (alone): expected 2, got 3 at [1]" in mismatch(folder)


def test_a_refused_sample_is_not_recorded(tmp_path: Path) -> None:
    folder = tiny(tmp_path, "return x / 0", ["[1, 2]"], [None])
    with pytest.raises(SampleMismatch, match="not finite"):
        golden.record(Handler.open(folder), folder)


def test_a_model_without_samples_replays_none(tmp_path: Path) -> None:
    assert replay(tiny(tmp_path, "return x", [], [])) == []


def test_a_label_beside_raw_outputs_catches_swapped_labels(tmp_path: Path) -> None:
    folder = copied("digits_mlp", tmp_path)
    labels = (folder / "labels.txt").read_text().splitlines()
    (folder / "labels.txt").write_text("\n".join(reversed(labels)))
    message = mismatch(folder)
    assert "expected 'seven', got 'two'" in message
    assert "the order of the labels" in message


def test_labels_may_be_listed_in_the_recipe(tmp_path: Path) -> None:
    labels = (MODELS / "digits_mlp" / "labels.txt").read_text().split()
    assert len(replay(copied("digits_mlp", tmp_path, output={"labels": labels}))) == 3


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_probabilities_as_expect_are_told_from_raw_outputs(activation: str, tmp_path: Path) -> None:
    folder = copied("digits_mlp", tmp_path)
    raw = torch.from_numpy(np.load(folder / "samples" / "seven.npy"))
    np.save(folder / "samples" / "seven.npy", raw.softmax(0) if activation == "softmax" else raw.sigmoid())
    assert "`expect` holds probabilities: save the raw output" in mismatch(folder)


def executed(folder: Path, off: float, precision: str) -> Handler:
    """The folder's handler, as if something of that precision executed it, `off` from eager."""
    handler = Handler.open(folder, reference=True)
    run = handler.opened.run
    candidate = Candidate("openvino", precision)  # type: ignore[arg-type]
    opened = Opened(lambda batch: run(batch) * (1 + off), candidate)
    return Handler(handler.recipe, handler.task, opened, handler.device)


@pytest.mark.parametrize(
    ("off", "precision", "passes"),
    [
        (0.0, "float32", True),
        (0.05, "float32", False),
        (0.05, "bfloat16", True),
        (-0.6, "bfloat16", False),
        (-2.0, "bfloat16", False),
    ],
)
def test_a_lower_precision_is_held_to_what_callers_get(
    off: float, precision: str, passes: bool, tmp_path: Path
) -> None:
    folder = tiny(tmp_path, "return x", ["[1, 6]", "[6, 1]"], [np.array([1.0, 6.0]), "0"], task="classify")
    handler = executed(folder, off, precision)
    if passes:
        assert len(golden.replay(handler, folder)) == 2
    else:
        with pytest.raises(SampleMismatch, match=r"sample s0\.json"):
            golden.replay(handler, folder)


def test_handler_tolerance_is_of_values_in_their_own_unit(tmp_path: Path) -> None:
    tolerance = {"absolute": 0.0, "relative": 0.02}
    folder = tiny(
        tmp_path,
        "return x",
        ["[1, 2]", "[1, 2]"],
        [[101.0, 102.0], np.array([1.0, 2.0])],
        handler_tolerance=tolerance,
        task="regress",
        output={"mean": 100.0, "std": 1.0},
    )
    assert len(golden.replay(executed(folder, 0.5, "int8"), folder)) == 2
    with pytest.raises(SampleMismatch, match="allowed difference"):
        golden.replay(executed(folder, 5.0, "int8"), folder)
