"""Replay the samples through the whole handler, and compare with what the owner's code answered.

Each sample is answered alone and in full batches with the others; a worker whose answers differ
beyond the tolerance never becomes READY. Where a lower precision executes, its scores are held to
handler.tolerance, as they were when it was proven.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from msgspec import UNSET, Struct

from handlers import closeness, wire
from handlers.answers import Classification, Regression
from handlers.closeness import REMEDY, Demand, Values
from handlers.errors import BadRecipe, Refusal, SampleMismatch
from handlers.recipe import Recipe, Sample, is_array_file
from handlers.runtimes import Opened
from handlers.tasks import Task
from handlers.wire import Answered, Outcome, Request, Row


class Evaluator(Protocol):
    """What of the handler is needed here."""

    recipe: Recipe
    task: Task
    opened: Opened

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
    for batch in together(len(samples), handler.recipe.batch_size):
        company = in_company(batch)
        outcomes = handler.evaluate([requests[index] for index in batch])
        for index, (outcome,) in zip(batch, outcomes, strict=True):
            sample = samples[index]
            error = _compare(handler, sample, outcome, folder, company)
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


def together(count: int, size: int) -> Iterator[list[int]]:
    """Indices of what is answered together: each alone, then all of them in full batches."""
    yield from ([index] for index in range(count))
    if size > 1:
        for start in range(0, count, size):
            yield [index % count for index in range(start, start + size)]


def in_company(batch: Sequence[int]) -> str:
    """How many were answered together, for a message."""
    return "alone" if len(batch) == 1 else f"in a batch of {len(batch)}"


def _compare(handler: Evaluator, sample: Sample, outcome: Outcome, folder: Path, company: str) -> float:
    """The largest absolute difference; raises SampleMismatch beyond the tolerance."""
    answered = _answer(sample, outcome, company)
    expect, where = sample.expect, f"sample {sample.input} ({company})"
    demand = _demand(handler, sample)
    if sample.label is not UNSET:
        _compare_label(sample, sample.label, answered, company)
    if isinstance(expect, str) and not is_array_file(expect):
        _compare_label(sample, expect, answered, company)
        return 0.0
    got = answered.output.double().numpy()
    if isinstance(expect, list):
        values = np.asarray(expect, np.float64)
        if isinstance(answered.answer, Regression):
            answer = np.asarray(answered.answer.values, np.float64)
            return closeness.within(values, answer, demand.tolerance, where)
        return closeness.compare(handler.task, values, got.flatten(), demand, where)
    raw = _raw(folder / (sample.recording if expect is UNSET else expect), sample)
    return closeness.compare(handler.task, raw, got, demand, where)


def _demand(handler: Evaluator, sample: Sample) -> Demand:
    """The sample's own tolerance, or in a lower precision the recipe's, of scores."""
    precision = handler.opened.precision
    lower = precision != "float32"
    return Demand(precision, handler.recipe.handler.tolerance if lower else sample.tolerance)


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
