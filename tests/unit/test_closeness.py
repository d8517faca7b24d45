"""closeness: in float32 raw values count, in a lower precision what callers get."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from msgspec import convert

from handlers.closeness import Demand, compare, read, same_best
from handlers.errors import SampleMismatch
from handlers.recipe import Model, Tolerance
from handlers.tasks import Task, open_task


def task(kind: str = "classify", **output: object) -> Task:
    tree = {
        "name": "m",
        "version": "1",
        "task": kind,
        "weights": "w.pth",
        "input": {"kind": "tensor", "shape": [2]},
        "output": output,
    }
    return open_task(convert(tree, Model), Path())


def passes(one: Task, expected: list[float], got: list[float], demand: Demand) -> bool:
    try:
        compare(one, np.array(expected), np.array(got), demand, "input 1 (alone)")
    except SampleMismatch:
        return False
    return True


LOWER = Demand("bfloat16", Tolerance(absolute=0.02, relative=0.0))


@pytest.mark.parametrize(
    ("got", "demand", "expected"),
    [
        ([10.0005, 0.0], Demand(), True),
        ([10.5, 0.0], Demand(), False),  # in float32 raw values count, whatever softmax makes of them
        ([10.5, 0.0], LOWER, True),
        ([2.0, 0.0], LOWER, False),  # 0.88 where it was 0.99995
        ([0.0, 10.0], LOWER, False),
        ([np.nan, 0.0], LOWER, False),
        ([np.nan, 0.0], Demand(), False),
        ([10.0], LOWER, False),
        ([10.0], Demand(best=True), False),
    ],
)
def test_what_counts_depends_on_the_precision(got: list[float], demand: Demand, expected: bool) -> None:
    assert passes(task(), [10.0, 0.0], got, demand) == expected


def test_another_best_class_fails_in_a_lower_precision_however_close_the_scores() -> None:
    assert not passes(task(), [0.01, 0.0], [0.0, 0.01], LOWER)
    with pytest.raises(SampleMismatch, match=r"input 1 \(alone\): expected class 0 as the best, got 1"):
        compare(task(), np.array([0.01, 0.0]), np.array([0.0, 0.01]), LOWER, "input 1 (alone)")


def test_a_tie_of_the_reference_is_no_difference() -> None:
    assert same_best(task(), np.array([1.0, 1.0005, 0.0]), np.array([1.0001, 1.0, 0.0]))
    assert not same_best(task(), np.array([1.0, 1.01, 0.0]), np.array([1.01, 1.0, 0.0]))


def test_tasks_without_classes_have_no_best() -> None:
    assert same_best(task("tensor"), np.array([1.0, 0.0]), np.array([0.0, 1.0]))


def test_what_callers_get_is_read_as_the_task_reads_it() -> None:
    assert read(task(), np.array([0.0, 0.0])) == pytest.approx([0.5, 0.5])
    assert read(task(activation="sigmoid"), np.array([0.0, 100.0])) == pytest.approx([0.5, 1.0])
    assert read(task("regress", mean=100.0, std=10.0), np.array([1.0])) == pytest.approx([110.0])
    assert read(task("tensor"), np.array([[1.0]])) == pytest.approx(np.array([[1.0]]))


def test_values_of_regress_are_held_in_their_own_unit() -> None:
    one = task("regress", mean=100.0, std=10.0)
    assert passes(one, [1.0], [1.001], LOWER)
    assert not passes(one, [1.0], [1.01], LOWER)
    assert passes(one, [1.0], [1.01], Demand("bfloat16", Tolerance(absolute=0.0, relative=0.01)))
