"""Replay the samples through the whole handler, and compare with what the owner's code answered.

Each sample is answered alone and in full batches with the others; a worker whose answers differ
beyond the tolerance never becomes READY.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from msgspec import UNSET, Struct

from handlers import wire
from handlers.errors import BadRecipe, Refusal, SampleMismatch
from handlers.recipe import Recipe, Sample, is_array_file
from handlers.tasks.classify import Classification
from handlers.tasks.regress import Regression
from handlers.wire import Answered, Outcome, Request, Row

Values = npt.NDArray[np.float64]


class Evaluator(Protocol):
    """What of the handler is needed here."""

    recipe: Recipe

    def evaluate(self, requests: Sequence[Request]) -> list[list[Outcome]]: ...


class Replayed(Struct, frozen=True):
    """One sample that passed: whose answer it was held against, and the largest difference seen."""

    sample: str
    expected_by: Literal["owner", "recording"]
    largest_error: float


def replay(handler: Evaluator, folder: Path) -> list[Replayed]:
    """Every sample alone and in full batches; raises SampleMismatch at the first that differs."""
    samples = handler.recipe.handler.samples
    requests = [request(handler.recipe, folder, sample) for sample in samples]
    errors = dict.fromkeys((sample.input for sample in samples), 0.0)
    for batch, company in _batches(len(samples), handler.recipe.batch_size):
        outcomes = handler.evaluate([requests[index] for index in batch])
        for index, (outcome,) in zip(batch, outcomes, strict=True):
            sample = samples[index]
            error = _compare(sample, outcome, folder, company)
            errors[sample.input] = max(errors[sample.input], error)
    return [
        Replayed(sample.input, "recording" if sample.expect is UNSET else "owner", errors[sample.input])
        for sample in samples
    ]


def request(recipe: Recipe, folder: Path, sample: Sample) -> Request:
    """The sample's file as a caller would send it; raises BadRecipe unless it is just one item."""
    row = Row({"body": (folder / sample.input).read_bytes()}, request_id=sample.input)
    try:
        read = wire.read(row, recipe.handler)
    except Refusal as error:
        raise BadRecipe(f"sample {sample.input}: {error.message}", hint=error.hint) from None
    if len(read.items) != 1:
        raise BadRecipe(
            f"sample {sample.input} holds {len(read.items)} items", hint="a sample is one item; split it"
        )
    return read


def record(handler: Evaluator, folder: Path) -> dict[Path, Values]:
    """Raw outputs of the samples that have neither `expect` nor a recording, by the file they belong in."""
    recorded: dict[Path, Values] = {}
    for sample in handler.recipe.handler.samples:
        path = folder / sample.recording
        if sample.expect is UNSET and not path.exists():
            ((outcome,),) = handler.evaluate([request(handler.recipe, folder, sample)])
            recorded[path] = _answer(sample, outcome, "alone").output.numpy()
    return recorded


def _batches(samples: int, size: int) -> list[tuple[list[int], str]]:
    """Indices of what is answered together: each sample alone, then all of them in full batches."""
    alone = [([index], "alone") for index in range(samples)]
    if size == 1 or not samples:
        return alone
    cycle = itertools.cycle(range(samples))
    rounds = -(-samples // size)
    full = [([next(cycle) for _ in range(size)], f"in a batch of {size}") for _ in range(rounds)]
    return alone + full


def _compare(sample: Sample, outcome: Outcome, folder: Path, company: str) -> float:
    """The largest absolute difference; raises SampleMismatch beyond the tolerance."""
    answered = _answer(sample, outcome, company)
    expect = sample.expect
    if sample.label is not UNSET:
        _compare_label(sample, sample.label, answered, company)
    if isinstance(expect, str) and not is_array_file(expect):
        _compare_label(sample, expect, answered, company)
        return 0.0
    if isinstance(expect, list):
        got = answered.answer.values if isinstance(answered.answer, Regression) else answered.output.flatten()
        return _compare_values(sample, np.asarray(expect, np.float64), np.asarray(got, np.float64), company)
    path = folder / (sample.recording if expect is UNSET else expect)
    return _compare_values(sample, _raw(path, sample), answered.output.double().numpy(), company)


def _answer(sample: Sample, outcome: Outcome, company: str) -> Answered:
    if isinstance(outcome, Answered):
        return outcome
    raise SampleMismatch(
        f"sample {sample.input} ({company}) was refused: {outcome.message}", hint=outcome.hint
    ) from outcome


def _raw(path: Path, sample: Sample) -> Values:
    try:
        return np.asarray(np.load(path, allow_pickle=False), np.float64)
    except FileNotFoundError:
        raise BadRecipe(
            f"sample {sample.input} has no `expect`, and no recorded answer in {path.name}",
            hint="`scripts/pthserve archive` records it",
        ) from None
    except (OSError, ValueError, EOFError) as error:
        raise BadRecipe(f"sample {sample.input}: {path} is no .npy array ({error})") from None


def _compare_label(sample: Sample, expect: str, answered: Answered, company: str) -> None:
    if not isinstance(answered.answer, Classification):
        raise BadRecipe(
            f"sample {sample.input} expects {expect!r}; only the task classify answers with labels",
            hint="expect a list of values, or an .npy of raw outputs",
        )
    got = answered.answer.predictions[0]
    if got.label != expect:
        raise SampleMismatch(
            f"sample {sample.input} ({company}): expected {expect!r}, got {got.label!r} "
            f"(score {got.score:.4f})",
            hint=f"{REMEDY} and the order of the labels",
        )


REMEDY = (
    "what differs from training? compare mode, resize, crop, mean and std of handler.input, and the weights"
)


def _compare_values(sample: Sample, expected: Values, got: Values, company: str) -> float:
    where = f"sample {sample.input} ({company})"
    if expected.shape != got.shape:
        raise SampleMismatch(
            f"{where}: expected the shape {list(expected.shape)}, got {list(got.shape)}",
            hint="`expect` holds one item's output, without the batch dimension",
        )
    if not np.isfinite(expected).all():
        raise SampleMismatch(f"{where}: `expect` holds NaN or infinity", hint="expect finite values")
    difference = np.abs(got - expected)
    allowed = sample.tolerance.absolute + sample.tolerance.relative * np.abs(expected)
    wrong = ~(difference <= allowed)  # NaN is wrong, too
    if wrong.any():
        worst = np.unravel_index(np.argmax(np.where(wrong, difference - allowed, -np.inf)), difference.shape)
        raise SampleMismatch(
            f"{where}: expected {expected[worst]:.6g}, got {got[worst]:.6g} at {list(map(int, worst))} "
            f"(allowed difference {allowed[worst]:.2g}); {int(wrong.sum())} of {wrong.size} values differ",
            hint=PROBABILITIES if _are_probabilities(expected, got) else REMEDY,
        )
    return float(difference.max(initial=0.0))


PROBABILITIES = "`expect` holds probabilities: save the raw output, before softmax or sigmoid"


def _are_probabilities(expected: Values, got: Values) -> bool:
    """Whether `expect` is the softmax or the sigmoid of what came out."""
    raw = torch.from_numpy(got)
    return got.ndim == 1 and any(
        np.allclose(expected, scores.numpy(), rtol=1e-3, atol=1e-4)
        for scores in (raw.softmax(0), raw.sigmoid())
    )
