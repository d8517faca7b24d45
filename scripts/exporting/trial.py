"""example.py run as its user will run it, and its answer held against the model's own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from handlers.recipe import Tolerance
from handlers.wire import Answered, Request
from scripts.exporting.parity import CantExport, Example, close
from scripts.exporting.preprocessing import KNOWN, Preprocessing
from scripts.exporting.subject import Subject

RESIZED = Tolerance(absolute=0.02, relative=0.0)
"""Of answers, where the model resizes pictures as `backend: tensor` does and the example as PIL does."""


def run(subject: Subject, told: Preprocessing, folder: Path, bundled: str) -> Example:
    """How `bundled`, the first input, was answered; raises CantExport when the example fails."""
    words = [sys.executable, "-I", str(folder / "example.py")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        last = next(iter(reversed(done.stderr.strip().splitlines())), "no output")
        raise CantExport(f"example.py ends with exit status {done.returncode}: {last}")
    printed, expected = json.loads(lines[-1]), _answer(subject, told)
    image = subject.handler.recipe.handler.image_input()
    by_tensor = image is not None and image.backend == "tensor"
    passed = _alike(printed, expected, RESIZED if by_tensor else Tolerance())
    return Example(bundled, printed, expected, passed)


def _answer(subject: Subject, told: Preprocessing) -> Mapping[str, Any]:
    """The model's answer to the first input, as JSON; the raw output where its own code reads that."""
    if told.meaning.task not in KNOWN:
        output = subject.handler.forward(subject.given[0].prepared[None])[0]
        return {"output": output.tolist(), "shape": list(output.shape)}
    ((outcome,),) = subject.handler.evaluate([Request((subject.given[0].item,))])
    if not isinstance(outcome, Answered):
        raise outcome
    answer: Mapping[str, Any] = json.loads(outcome.encoded)
    return answer


def _alike(printed: Mapping[str, Any], expected: Mapping[str, Any], tolerance: Tolerance) -> bool:
    """Whether two answers have the same form and the same best label, and numbers within the tolerance."""
    if printed.keys() != expected.keys():
        return False
    if "predictions" in expected:
        ours, theirs = printed["predictions"], expected["predictions"]
        got, wanted = ([one["score"] for one in predictions] for predictions in (ours, theirs))
        return bool(ours[0]["label"] == theirs[0]["label"] and close(wanted, got, tolerance))
    numbers = "values" if "values" in expected else "output"
    rest = expected.keys() - {numbers}
    return close(expected[numbers], printed[numbers], tolerance) and all(
        printed[key] == expected[key] for key in rest
    )
