"""What lies in an export's folder: the file, how it is fed, the proof, and a program that runs alone."""

from __future__ import annotations

import io
import json
import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from handlers import images, recipe
from handlers.handler import Handler
from handlers.recipe import ImageInput
from handlers.runtimes import Material
from scripts.exporting import example, preprocessing, writing
from scripts.exporting.parity import CantExport, Parity
from scripts.exporting.preprocessing import Meaning, Port, Preprocessing
from scripts.exporting.targets import Target, TargetName, named
from scripts.exporting.targets.portable import Array, Portable, as_float32
from tests import tiny_models

SUM = "return x.sum(1, keepdim=True) * self.scale"
TWO = "return torch.stack([x.sum(1), -x.sum(1)], 1) * self.scale"
pytestmark = pytest.mark.filterwarnings(  # exporters warn of their own insides
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"
)


def in_numpy(run: Callable[[Array], Array], program: str) -> Target:
    """A runtime of a line: what runs here, and the same in the example's words."""

    def write(material: Material, folder: Path) -> None:
        (folder / "network.txt").write_text(program)

    def open_portable(folder: Path) -> Portable:
        assert (folder / "network.txt").is_file()
        return Portable(lambda batch: as_float32(run(batch)))

    return cast(
        Target,
        SimpleNamespace(
            FILE_NAME="network.txt",
            NEEDED=("numpy",),
            EXTRA="",
            INSTALLS="numpy",
            ONE_BY_ONE=False,
            ELSEWHERE="Anywhere.",
            IMPORTS="import io",
            RUN=f"output = {program}\n",
            write=write,
            open_portable=open_portable,
        ),
    )


SUMMED = in_numpy(lambda x: x.sum(1, keepdims=True), "batch[0].sum(keepdims=True)")
TWOFOLD = in_numpy(lambda x: np.stack([x.sum(1), -x.sum(1)], 1), "batch[0].sum() * np.float32([1, -1])")
SAME = in_numpy(lambda x: x, "batch[0].astype(np.float32)")


def written(folder: Path, target: Target) -> tuple[Path, Parity]:
    """The export of a model's folder, beside it."""
    out = folder.parent / f"{folder.name}-out"
    out.mkdir()
    return out, writing.write(folder, out, "onnx", target)


def told(out: Path) -> dict[str, Any]:
    return cast(dict[str, Any], json.loads((out / "preprocessing.json").read_bytes()))


def with_sample(folder: Path, body: bytes, name: str = "samples/one.json") -> Path:
    import yaml

    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(body)
    tree = yaml.safe_load((folder / "recipe.yaml").read_text())
    tree["handler"]["samples"] = [{"input": name}]
    (folder / "recipe.yaml").write_text(yaml.safe_dump(tree))
    return folder


# What each task becomes


def test_regress_is_described_and_answered_in_its_unit(tmp_path: Path) -> None:
    folder = tiny_models.write(
        tmp_path / "m",
        SUM,
        task="regress",
        input={"kind": "tensor", "shape": [2], "mean": [1, 2], "std": [2, 4]},
        output={"names": ["years"], "mean": 10, "std": 3},
    )
    out, parity = written(with_sample(folder, b'{"input": [3, 6]}'), SUMMED)
    assert parity.passed
    assert parity.example.printed == {"values": [16.0], "names": ["years"]}
    assert (out / "samples" / "one.json").read_text() == "[3.0, 6.0]\n"
    assert np.load(out / "samples" / "one.json.output.npy").tolist() == [2.0]
    found = told(out)
    assert found["prepare"][0] | {"mean": [1, 2], "std": [2, 4], "dtype": "float32"} == found["prepare"][0]
    assert found["meaning"] | {"names": ["years"], "mean": 10, "std": 3} == found["meaning"]
    assert found["input"]["shape"] == ["items", 2]
    assert found["output"]["shape"] == ["items", 1]


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_classify_answers_with_labels_and_scores(tmp_path: Path, activation: str) -> None:
    output = {"labels": ["up", "döwn"], "top_k": 2, "activation": activation}
    folder = tiny_models.write(tmp_path / "m", TWO, task="classify", output=output)
    out, parity = written(with_sample(folder, b"[-1, 0.5]"), TWOFOLD)
    assert parity.passed
    assert parity.example.printed["predictions"][0]["label"] == "döwn"
    assert all(one.same_top1 for one in parity.compared)
    assert told(out)["meaning"]["labels"] == ["up", "döwn"]


def test_without_labels_classes_are_called_by_their_index(tmp_path: Path) -> None:
    folder = tiny_models.write(tmp_path / "m", TWO, task="classify")
    _, parity = written(with_sample(folder, b"[1, 1]"), TWOFOLD)
    assert parity.passed
    assert [one["label"] for one in parity.example.printed["predictions"]] == ["0", "1"]


def test_without_samples_a_random_input_is_bundled(tmp_path: Path) -> None:
    out, parity = written(tiny_models.write(tmp_path / "m", "return x * self.scale"), SAME)
    assert parity.passed
    assert parity.example.input == "samples/random_1.json"
    assert parity.example.printed == parity.example.expected
    assert sorted(path.name for path in (out / "samples").iterdir()) == [
        "random_1.json",
        "random_1.json.output.npy",
    ]


def test_a_samples_name_is_no_part_of_the_program(tmp_path: Path) -> None:
    folder = tiny_models.write(tmp_path / "m", "return x * self.scale")
    out, parity = written(with_sample(folder, b"[1, 2]", 'samples/a""" + exit() + "ä.json'), SAME)
    assert parity.passed
    assert re.fullmatch(r"samples/a_+exit_+\.json", parity.example.input)
    assert (out / parity.example.input).is_file()


def test_an_own_task_is_given_prepared_inputs_and_answers_raw_outputs(tmp_path: Path) -> None:
    task = """
        from handlers.tasks import Tensor

        class Own(Tensor):
            def prepare(self, item):
                return super().prepare(item) * 2

            def finish(self, output):
                return {"own": True}
    """
    folder = tiny_models.write(tmp_path / "m", "return x * self.scale", task="task.py:Own", task_py=task)
    out, parity = written(with_sample(folder, b"[1, 2]"), SAME)
    assert parity.passed
    assert parity.example.printed == {"output": [2.0, 4.0], "shape": [2]}
    assert told(out)["prepare"] == []
    assert told(out)["meaning"]["task"] == "Own"


def test_whole_numbers_stay_whole(tmp_path: Path) -> None:
    folder = tiny_models.write(
        tmp_path / "m",
        "return x.float() * self.scale",
        input={"kind": "tensor", "shape": [2], "dtype": "int64", "minimum": 0, "maximum": 9},
    )
    out, parity = written(with_sample(folder, b"[3, 9]"), SAME)
    assert parity.passed
    assert told(out)["input"]["dtype"] == "int64"
    assert json.loads((out / "samples" / "one.json").read_bytes()) == [3, 9]


def test_a_checkpoint_that_is_torchscript_is_exported_as_such(tmp_path: Path) -> None:
    import yaml

    folder = tiny_models.write(tmp_path / "m", SUM, task="regress")
    torch.jit.trace(torch.nn.Linear(2, 1), torch.zeros(1, 2)).save(str(folder / "weights.pth"))  # type: ignore[no-untyped-call]
    tree = yaml.safe_load((folder / "recipe.yaml").read_text())
    del tree["handler"]["architecture"]
    (folder / "recipe.yaml").write_text(yaml.safe_dump(tree))
    _, parity = written(folder, named("torchscript"))
    assert parity.passed


# The files


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("name", ["torchscript", "onnx", "openvino"])
def test_the_same_model_gives_the_same_bytes(tmp_path: Path, name: TargetName) -> None:
    found = []
    for place in ("a", "b"):
        folder = tiny_models.write(tmp_path / place / "m", SUM, task="regress")
        found.append(contents(written(folder, named(name))[0]))
    assert found[0] == found[1]


def test_onnx_is_one_file_with_named_ends_and_any_number_of_items(tmp_path: Path) -> None:
    import onnx

    folder = tiny_models.write(tmp_path / "m", SUM, task="regress")
    out, parity = written(folder, named("onnx"))
    assert set(parity.files) == {"model.onnx"}
    model = onnx.load(out / "model.onnx", load_external_data=False)
    assert not any(one.external_data for one in model.graph.initializer)
    assert told(out)["input"]["name"] == model.graph.input[0].name
    assert told(out)["output"]["name"] == model.graph.output[0].name
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    assert {one.batch for one in parity.compared} == {1, 8}


def test_pictures_of_any_size_stay_so(tmp_path: Path) -> None:
    folder = tiny_models.write(
        tmp_path / "m",
        "return torch.nn.functional.avg_pool2d(x, 2).mean((2, 3)) * self.scale",
        task="classify",
        input={"kind": "image", "any_size": True},
    )
    out, parity = written(folder, named("onnx"))
    assert parity.passed
    assert told(out)["input"]["shape"] == ["items", 3, "height", "width"]
    assert told(out)["input"]["layout"] == "NCHW"
    assert parity.example.input == "samples/random_1.png"


@pytest.mark.exhaustive
def test_executorch_takes_one_item_at_a_time(tmp_path: Path) -> None:
    pytest.importorskip("executorch")
    out, parity = written(tiny_models.write(tmp_path / "m", SUM, task="regress"), named("executorch"))
    assert parity.passed
    assert told(out)["input"]["shape"] == [1, 2]
    assert {one.batch for one in parity.compared} == {1}


# The proof


def changed(change: Callable[[Array], Array]) -> Target:
    """The sum, changed on its way; the example's own isn't."""
    return in_numpy(lambda x: change(x.sum(1, keepdims=True)), "batch[0].sum(keepdims=True)")


@pytest.mark.parametrize(
    "change",
    [lambda out: out * 1.01 + 0.01, lambda out: out * np.nan, lambda out: out * np.inf],
    ids=["off", "NaN", "infinite"],
)
def test_a_file_that_answers_otherwise_does_not_pass(
    tmp_path: Path, change: Callable[[Array], Array]
) -> None:
    folder = tiny_models.write(tmp_path / "m", SUM, task="regress")
    _, parity = written(folder, changed(change))
    assert not parity.passed
    assert parity.example.passed
    assert not any(one.passed for one in parity.compared)


@pytest.mark.parametrize(("answer", "passed"), [([999.1, 999.4], False), ([999.1, 999.0], True)])
def test_another_best_class_does_not_pass_even_within_the_tolerance(
    tmp_path: Path, answer: list[float], passed: bool
) -> None:
    near = "return torch.stack([x.sum(1) * 0 + 1000.0, x.sum(1) * 0 + 998.5], 1) * self.scale"
    folder = tiny_models.write(tmp_path / "m", near, task="classify")
    target = in_numpy(
        lambda x: np.tile(np.array(answer, np.float32), (len(x), 1)), "np.float32([1000, 998.5])"
    )
    _, parity = written(folder, target)
    assert {one.same_top1 for one in parity.compared} == {passed}
    assert parity.passed is passed


def test_only_some_rows_of_a_batch_wrong_is_seen(tmp_path: Path) -> None:
    def last_row(out: Array) -> Array:
        return out if len(out) == 1 else np.concatenate([out[:-1], out[-1:] + 1])

    _, parity = written(tiny_models.write(tmp_path / "m", SUM, task="regress"), changed(last_row))
    assert not parity.passed
    assert all(one.passed for one in parity.compared if one.batch == 1)


def test_another_shape_is_refused(tmp_path: Path) -> None:
    folder = tiny_models.write(tmp_path / "m", SUM, task="regress")
    with pytest.raises(CantExport, match=r"the file gives the shape \[1, 2\], eager \[1, 1\]"):
        written(folder, changed(lambda out: np.repeat(out, 2, 1)))


def test_an_example_that_fails_is_refused(tmp_path: Path) -> None:
    broken = in_numpy(lambda x: x.sum(1, keepdims=True), 'batch["the reason"]')
    with pytest.raises(CantExport, match=r"example\.py ends with exit status 1: IndexError"):
        written(tiny_models.write(tmp_path / "m", SUM, task="regress"), broken)


def test_an_example_that_answers_otherwise_does_not_pass(tmp_path: Path) -> None:
    off = in_numpy(lambda x: x.sum(1, keepdims=True), "batch[0].sum(keepdims=True) + 1")
    _, parity = written(tiny_models.write(tmp_path / "m", SUM, task="regress"), off)
    assert all(one.passed for one in parity.compared)
    assert not parity.passed


@pytest.mark.parametrize("name", ["onnx", "torchscript"])
def test_a_network_that_cannot_be_exported_says_why(tmp_path: Path, name: TargetName) -> None:
    forward = "return x * self.scale if x.sum() > 0 else -x * self.scale"
    folder = tiny_models.write(tmp_path / "m", forward, task="tensor")
    with pytest.raises(CantExport, match=r"torch\.(export|jit\.trace): .*; another target may take it"):
        written(folder, named(name))


# The example's pixels

ECHO = in_numpy(lambda x: x, "batch[0]")
"""Answers what enters the network."""


def prepared_by_example(declared: ImageInput, path: Path, folder: Path) -> np.ndarray[Any, Any]:
    """What the generated program makes of a picture."""
    model = recipe.Model(
        name="m", version="1", task="tensor", weights="w.pth", input=declared, architecture=msgspec.UNSET
    )
    handler = SimpleNamespace(recipe=SimpleNamespace(handler=model), task=_task(model))
    port = Port(None, "float32", [])
    told = Preprocessing(
        "m", "1", "f", port, preprocessing.prepare(cast(Handler, handler)), port, Meaning("tensor")
    )
    program = folder / "example.py"
    program.write_text(example.write(told, ECHO, path.name), encoding="utf-8")
    stdout, arguments = sys.stdout, sys.argv
    sys.stdout, sys.argv = io.StringIO(), [str(program), str(path)]
    try:
        runpy.run_path(str(program))
        return np.array(json.loads(sys.stdout.getvalue())["output"], np.float32)
    finally:
        sys.stdout, sys.argv = stdout, arguments


def _task(model: recipe.Model) -> Any:
    from handlers.tasks import open_task

    return open_task(model, Path())


SIDES = st.integers(3, 41)
SIZES = st.one_of(SIDES, st.tuples(SIDES, SIDES).map(list))


@settings(max_examples=60, deadline=None)
@given(
    width=SIDES,
    height=SIDES,
    resize=st.one_of(st.just(msgspec.UNSET), SIZES),
    crop=st.one_of(st.just(msgspec.UNSET), SIZES),
    mode=st.sampled_from(["L", "RGB"]),
    saved=st.sampled_from(["L", "RGB", "RGBA", "P"]),
    interpolation=st.sampled_from(["nearest", "bilinear", "bicubic"]),
    normalised=st.booleans(),
    flatten=st.booleans(),
)
def test_the_example_prepares_the_recipes_pixels(
    tmp_path_factory: pytest.TempPathFactory,
    width: int,
    height: int,
    resize: Any,
    crop: Any,
    mode: Any,
    saved: str,
    interpolation: Any,
    normalised: bool,
    flatten: bool,
) -> None:
    channels = 3 if mode == "RGB" else 1
    scale = {"mean": [0.4, 0.5, 0.6][:channels], "std": [0.2, 0.3, 0.4][:channels]} if normalised else {}
    declared = ImageInput(
        mode=mode, resize=resize, crop=crop, interpolation=interpolation, flatten=flatten, **scale
    )
    folder = tmp_path_factory.mktemp("pixels")
    pixels = np.random.default_rng(width * 100 + height).integers(0, 256, (height, width, 4), np.uint8)
    Image.fromarray(pixels, "RGBA" if saved == "RGBA" else None).convert(saved).save(folder / "a.png")
    wanted = images.prepare((folder / "a.png").read_bytes(), declared).numpy()
    got = prepared_by_example(declared, folder / "a.png", folder)
    assert got.shape == wanted.shape
    assert np.array_equal(got, wanted)


def test_the_example_turns_pictures_upright(tmp_path: Path) -> None:
    pixels = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    declared = ImageInput(crop=5)
    wanted = images.prepare((tmp_path / "a.png").read_bytes(), declared).numpy()
    assert np.array_equal(prepared_by_example(declared, tmp_path / "a.png", tmp_path), wanted)
