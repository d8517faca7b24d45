"""Handler: rows in, responses out, for one model folder; pure, with no TorchServe in it.

    wire.read -> task.prepare -> stack -> runtime -> task.finish -> wire.write

A bad item stops on its way and becomes its own error; its neighbours go on as if it weren't there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias, TypeVar

import msgspec
import torch

from handlers import recipe, runtimes, tasks, wire
from handlers.errors import BadInput, ForwardFailed, Refusal
from handlers.recipe import Recipe
from handlers.runtimes import Runtime
from handlers.tasks import Task
from handlers.wire import Answered, Item, Outcome, Request, Response, Row

Stage: TypeAlias = torch.Tensor | Refusal
"""Where an item stands between two steps: a tensor, or the reason why it stopped."""


T = TypeVar("T")


class Handler:
    """One model, opened: `predict` is all that a worker, a test or a command calls."""

    def __init__(self, recipe: Recipe, task: Task, runtime: Runtime, device: torch.device) -> None:
        self.recipe = recipe
        self.task = task
        self.runtime = runtime
        self.device = device

    @classmethod
    def open(cls, folder: Path, device: torch.device | str = "cpu") -> Handler:
        """The model of a folder (models/NAME, or an unpacked archive).

        Raises BadRecipe or BadCheckpoint; with the files of a recipe missing, BadRecipe names them.
        """
        device = torch.device(device)
        found = recipe.load(folder)
        for key, name in recipe.missing_files(found, folder):
            raise recipe.not_found(folder, key, name)
        task = tasks.open_task(found.handler, folder)
        with torch.inference_mode():
            runtime = runtimes.open_runtime(found.handler, folder, device)
        return cls(found, task, runtime, device)

    def predict(self, rows: Sequence[Row]) -> list[Response]:
        """One response for each row, in order. Never raises for what a row holds."""
        requests = [self._read(row) for row in rows]
        readable = [request for request in requests if isinstance(request, Request)]
        outcomes = iter(self.evaluate(readable))
        return [
            _written(row, request, next(outcomes))
            if isinstance(request, Request)
            else wire.refuse(row, request)
            for row, request in zip(rows, requests, strict=True)
        ]

    def evaluate(self, requests: Sequence[Request]) -> list[list[Outcome]]:
        """The outcome of each item of each request: its answer with the raw output, or a refusal."""
        items = [item for request in requests for item in request.items]
        outputs = self._run([self._prepare(item) for item in items])
        outcomes = iter([self._finish(output) for output in outputs])
        return [[next(outcomes) for _ in request.items] for request in requests]

    def _read(self, row: Row) -> Request | Refusal:
        return _guarded(lambda: wire.read(row, self.recipe.handler))

    def _prepare(self, item: Item) -> Stage:
        return _guarded(lambda: _tensor(self.task.prepare(item)))

    def _finish(self, output: Stage) -> Outcome:
        if isinstance(output, Refusal):
            return output
        return _guarded(lambda: _answered(self.task, output))

    def _run(self, inputs: Sequence[Stage]) -> list[Stage]:
        """Raw outputs in the order of `inputs`; what was refused before stays refused."""
        stages = list(inputs)
        for chunk in _chunks(stages, self.recipe.batch_size):
            tensors = [
                stage for stage in (stages[index] for index in chunk) if isinstance(stage, torch.Tensor)
            ]
            for index, output in zip(chunk, _blamed(self._forward(tensors)), strict=True):
                stages[index] = output
        return stages

    def _forward(self, tensors: Sequence[torch.Tensor]) -> list[Stage]:
        """One pass over the stacked batch; when it fails, each half for itself, down to the culprit."""
        try:
            return list(self.forward(torch.stack(list(tensors))))
        except Exception as error:
            if len(tensors) == 1:
                return [_failed(error)]
        half = len(tensors) // 2
        return [*self._forward(tensors[:half]), *self._forward(tensors[half:])]

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """[items, ...] on the CPU -> raw outputs [items, ...], float32 on the CPU."""
        with torch.inference_mode():
            output = self.runtime(batch.to(self.device))
            if output.dim() == 0 or len(output) != len(batch):
                raise ForwardFailed(
                    f"for {len(batch)} items the network gave the shape {list(output.shape)}",
                    hint="its first dimension must be the batch",
                )
            return output.to("cpu", torch.float32)


def _chunks(stages: Sequence[Stage], size: int) -> Iterator[list[int]]:
    """Indices of the good ones, at most `size` together, and only what can be stacked."""
    shapes: dict[tuple[object, ...], list[int]] = {}
    for index, stage in enumerate(stages):
        if isinstance(stage, torch.Tensor):
            shapes.setdefault((stage.dtype, *stage.shape), []).append(index)
    for indices in shapes.values():
        for start in range(0, len(indices), size):
            yield indices[start : start + size]


def _blamed(outputs: Iterable[Stage]) -> list[Stage]:
    """Where some items passed, those that failed are at fault themselves; where none did, we are."""
    stages = list(outputs)
    if not any(isinstance(stage, torch.Tensor) for stage in stages):
        return stages
    return [_culprit(stage) if isinstance(stage, Refusal) else stage for stage in stages]


def _culprit(error: Refusal) -> BadInput:
    refused = BadInput(
        "the network failed on this input, but not on others in the same batch",
        code="forward_failed",
        hint="check the values against what the model was trained on",
        status=422,
    )
    refused.__cause__ = error
    return refused


def _not_finite() -> BadInput:
    return BadInput(
        "the model's output for this input is not finite",
        code="output_not_finite",
        hint="check that the values are in the range that the model was trained on",
        status=422,
    )


def _failed(error: Exception) -> Refusal:
    """The error as one of ours, with what raised it as its cause for the log."""
    if isinstance(error, Refusal):
        return error
    failed = ForwardFailed(f"{type(error).__name__}: {error}")
    failed.__cause__ = error
    return failed


def _guarded(step: Callable[[], T]) -> T | Refusal:
    """What the step gives, or why it refused; nothing that one item holds may reach its neighbours."""
    try:
        return step()
    except Exception as error:
        return _failed(error)


def _tensor(prepared: object) -> torch.Tensor:
    if not isinstance(prepared, torch.Tensor):
        raise ForwardFailed(f"prepare gave a {type(prepared).__name__}", hint="it must return a tensor")
    return prepared


def _written(row: Row, request: Request, outcomes: Sequence[Outcome]) -> Response:
    """The response; what an owner's task answers and can't be written fails for this row alone."""
    try:
        return wire.write(request, outcomes)
    except Exception as error:
        return wire.refuse(row, _failed(error))


def _answered(task: Task, output: torch.Tensor) -> Answered:
    """The answer with its JSON; raises BadInput when a number in it isn't finite."""
    if not torch.isfinite(output).all():
        raise _not_finite()
    answer = task.finish(output)
    encoded = msgspec.json.encode(answer)
    if b"null" in encoded and not _all_finite(msgspec.to_builtins(answer)):
        raise _not_finite()  # msgspec writes NaN as null
    return Answered(answer, encoded, output)


def _all_finite(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_all_finite, value.values()))
    return not isinstance(value, (list, tuple)) or all(map(_all_finite, value))
