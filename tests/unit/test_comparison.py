"""How far answers are from each other, and from what samples expect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handlers import recipe, tasks
from handlers.recipe import Sample, Tolerance
from handlers.tasks import Task
from scripts.proof.comparison import Gap, gaps
from scripts.proof.expectation import expected_gaps
from tests import tiny_models

TOLERANCE = Tolerance()


def largest(expected: Any, got: Any) -> float:
    return max((gap.size for gap in gaps(expected, got)), default=0.0)


def alike(expected: Any, got: Any) -> bool:
    return all(gap.within(TOLERANCE) for gap in gaps(expected, got))


def classes(*triples: tuple[str, int, float]) -> dict[str, Any]:
    return {"predictions": [{"label": a, "index": b, "score": c} for a, b, c in triples]}


CAT, DOG = ("cat", 0, 0.5), ("dog", 1, 0.4)


@pytest.mark.parametrize(
    ("expected", "got", "size"),
    [
        ({"values": [1.0, 2]}, {"values": [1.0, 2.25]}, 0.25),
        ({"values": [1.0]}, {"values": [1.0, 2.0]}, float("inf")),
        ({"values": [1.0]}, {"value": [1.0]}, float("inf")),
        ({"output": [[1.0], [2.0]]}, {"output": [[1.0], [3.0]]}, 1.0),
        ("a", "a", 0.0),
        (True, 1, float("inf")),
        (None, 0.0, float("inf")),
        (classes(CAT, DOG), classes(CAT, DOG), 0.0),
        (classes(), classes(), 0.0),
    ],
)
def test_the_largest_difference_is_found(expected: Any, got: Any, size: float) -> None:
    assert largest(expected, got) == size


def test_classes_of_nearly_equal_scores_may_change_places() -> None:
    one, other = ("fox", 3, 0.40001), DOG
    assert alike(classes(one, other), classes(other, one))
    assert alike(classes(CAT, one), classes(CAT, other))  # the last of the list is another one


def test_the_same_scores_for_other_classes_are_not_alike() -> None:
    assert not alike(classes(CAT, DOG), classes(("cat", 1, 0.5), ("dog", 0, 0.4)))
    assert not alike(classes(CAT, DOG), classes(("cat", 5, 0.5), ("dog", 6, 0.4)))


def test_another_label_of_the_same_class_is_told() -> None:
    (gap,) = [gap for gap in gaps(classes(CAT), classes(("dog", 0, 0.5))) if not gap.within(TOLERANCE)]
    assert gap.told("local says") == "label of class 0 is 'dog', local says 'cat'"


def test_the_tolerance_is_absolute_and_relative() -> None:
    assert Gap("x", 100.0, 100.09, 0.09).within(TOLERANCE)
    assert not Gap("x", 1.0, 1.09, 0.09).within(TOLERANCE)
    assert not Gap("x", float("inf"), 1.0, float("inf")).within(TOLERANCE)


def opened(folder: Path, **handler: Any) -> tuple[Path, Task]:
    tiny_models.write(folder, "return x", **handler)
    return folder, tasks.open_task(recipe.load(folder).handler, folder)


def expected(sample: Sample, folder: Path, task: Task, got: Any) -> bool:
    found = list(expected_gaps(sample, folder, task, got))
    assert found
    return all(gap.within(TOLERANCE) for gap in found)


def test_a_label_is_the_best_one_s(tmp_path: Path) -> None:
    folder, task = opened(tmp_path, task="classify", output={"labels": ["cat", "dog"]})
    assert expected(Sample("a", expect="cat"), folder, task, classes(CAT, DOG))
    assert not expected(Sample("a", expect="dog"), folder, task, classes(CAT, DOG))
    assert not expected(Sample("a", expect="dog"), folder, task, {"values": [1.0]})


def test_raw_outputs_become_what_the_task_says(tmp_path: Path) -> None:
    folder, task = opened(tmp_path, task="classify", output={"labels": ["cat", "dog"]})
    np.save(folder / "raw.npy", np.log(np.asarray([0.7, 0.3], np.float32)))
    got = classes(("cat", 0, 0.7), ("dog", 1, 0.3))
    for sample in (Sample("a", expect="raw.npy", label="cat"), Sample("a", expect=[-0.35667, -1.20397])):
        assert expected(sample, folder, task, got)
        assert not expected(sample, folder, task, classes(("cat", 0, 0.6), ("dog", 1, 0.4)))


def test_values_are_a_regression_s_own(tmp_path: Path) -> None:
    folder, task = opened(tmp_path, task="regress", output={"mean": 100.0, "std": 10.0})
    assert expected(Sample("a", expect=[152.3]), folder, task, {"values": [152.3]})
    np.save(folder / "raw.npy", np.asarray([5.23], np.float32))
    assert expected(Sample("a", expect="raw.npy"), folder, task, {"values": [152.3]})
    assert not expected(Sample("a", expect=[152.3]), folder, task, {"values": [150.0]})


def test_a_tensor_s_values_are_in_a_row(tmp_path: Path) -> None:
    folder, task = opened(tmp_path)
    got = {"output": [[1.0, 2.0], [3.0, 4.0]], "shape": [2, 2]}
    assert expected(Sample("a", expect=[1.0, 2.0, 3.0, 4.0]), folder, task, got)
    assert not expected(Sample("a", expect=[1.0, 2.0, 3.0, 5.0]), folder, task, got)


def test_a_recording_counts_once_it_is_there(tmp_path: Path) -> None:
    folder, task = opened(tmp_path)
    got = {"output": [1.0, 2.0], "shape": [2]}
    assert not list(expected_gaps(Sample("a.json"), folder, task, got))
    np.save(folder / "a.json.recorded.npy", np.asarray([1.0, 2.0]))
    assert expected(Sample("a.json"), folder, task, got)
