"""What a sample expects, held against an answer as callers get it: a label, values, or raw outputs that the
model's task makes an answer of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from msgspec import UNSET

from handlers.recipe import Sample, is_array_file
from handlers.tasks import Regress, Task
from handlers.tasks import Tensor as RawOutputs
from scripts.proof.comparison import Gap, gaps


def expected_gaps(sample: Sample, folder: Path, task: Task, got: Any) -> Iterator[Gap]:
    """Where the answer (decoded JSON) and the sample's `expect`, `label` or recording can differ."""
    expect = sample.expect
    if sample.label is not UNSET:
        yield _label(sample.label, got)
    if isinstance(expect, list):
        yield from _values(expect, task, got)
    elif isinstance(expect, str) and not is_array_file(expect):
        yield _label(expect, got)
    else:
        path = folder / (sample.recording if expect is UNSET else expect)
        if path.exists():
            yield from gaps(_finished(np.load(path, allow_pickle=False), task), got)


def _values(expect: list[float], task: Task, got: Any) -> Iterator[Gap]:
    """Final values of a regression, else raw outputs in a row."""
    if isinstance(task, Regress):
        yield from gaps(expect, got.get("values") if isinstance(got, dict) else got, "values")
    elif isinstance(task, RawOutputs):
        flat = np.asarray(got["output"], np.float64).reshape(-1).tolist() if isinstance(got, dict) else got
        yield from gaps(expect, flat, "output")
    else:
        yield from gaps(_finished(np.asarray(expect), task), got)


def _finished(raw: Any, task: Task) -> Any:
    """The answer to raw outputs, as its JSON reads."""
    answer = task.finish(torch.from_numpy(np.asarray(raw, np.float32)))
    return msgspec.json.decode(msgspec.json.encode(answer))


def _label(expect: str, got: Any) -> Gap:
    match got:
        case {"predictions": [{"label": label}, *_]}:
            return Gap("the best label", expect, label, 0.0 if label == expect else float("inf"))
        case _:
            return Gap("the best label", expect, None, float("inf"))
