"""The samples, replayed as a worker replays them before it says READY; each tells how it did."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from msgspec.structs import replace

from handlers import golden
from handlers.errors import Refusal
from handlers.handler import Handler
from handlers.recipe import Sample, is_array_file
from scripts.checking.finding import Finding
from scripts.checking.steps.trial import NotTried, Trial, not_tried

NONE = Finding(
    "samples",
    "warn",
    "no sample proves its answers",
    "add one to handler.samples with `expect`, by ten lines in the training code that README.md shows",
)

FIRST = ("forward pass", "same answer twice", "answer")
"""What every sample would fail with again, and blame on its input."""


def samples(trial: Trial) -> list[Finding]:
    """One finding for each sample; answers are recorded in the staged folder where there are none."""
    declared = trial.model.samples
    if not declared:
        return [NONE]
    before = next((step for step in trial.failed if step in FIRST), None)
    if before is not None:
        raise NotTried(not_tried(before))
    if any(_absent(trial, sample) for sample in declared):
        return list(_each(trial))
    try:
        for path, output in golden.record(trial.handler, trial.folder).items():
            np.save(path, output)
            trial.recorded.append(str(path.relative_to(trial.folder)))
        replayed = golden.replay(trial.served, trial.folder)
    except Refusal as error:
        return _one_by_one(trial, error)
    return [_passed(trial, *each) for each in zip(declared, replayed, strict=True)]


def _passed(trial: Trial, sample: Sample, replayed: golden.Replayed) -> Finding:
    if sample.recording in trial.recorded:
        told = "has no `expect`; `archive` keeps the answer of now"
    elif replayed.expected_by == "recording":
        told = f"self-recorded, differs by {replayed.largest_error:.2g}"
    elif sample.proves_values:
        told = f"differs by {replayed.largest_error:.2g} from what the owner's code answered"
    else:
        told = f"{sample.expect!r}, as the owner's code answered"
    return Finding("samples", "pass", f"{sample.input}: {told}")


def _one_by_one(trial: Trial, first: Refusal) -> list[Finding]:
    """Each sample alone and in batches of itself: which pass, and why the others don't.

    Where every one passes so, it is their company that `first` tells of.
    """
    found = list(_each(trial))
    if not any(finding.verdict == "fail" for finding in found):
        found.append(Finding("samples", "fail", first.message, first.hint))
    return found


def _each(trial: Trial) -> Iterator[Finding]:
    for sample in trial.model.samples:
        absent = _absent(trial, sample)
        if absent:
            yield Finding("samples", "skip", f"{sample.input}: {absent} isn't there")
            continue
        recipe = replace(trial.recipe, handler=replace(trial.model, samples=[sample]))
        try:
            alone = Handler(recipe, trial.task, trial.serving, trial.device)
            (replayed,) = golden.replay(alone, trial.folder)
        except Refusal as error:
            yield Finding("samples", "fail", error.message, error.hint)
        else:
            yield _passed(trial, sample, replayed)


def _absent(trial: Trial, sample: Sample) -> str:
    """The sample's own file that isn't there, or the one of its `expect`; "" when both are."""
    expected = [sample.expect] if isinstance(sample.expect, str) and is_array_file(sample.expect) else []
    return next((name for name in [sample.input, *expected] if not (trial.folder / name).is_file()), "")
