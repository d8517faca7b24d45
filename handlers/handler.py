"""Handler: rows in, responses out, for one model folder; pure, with no TorchServe in it.

    wire.read -> task.prepare -> stack -> runtime -> task.finish -> wire.write

A bad item stops on its way and becomes its own error; its neighbours go on as if it weren't there.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch

from handlers import faults, recipe, runtimes, tasks, wire
from handlers.batch import Batch, Stopwatch, codes
from handlers.blame import Stage, answered, blamed, failed, guarded, short_of_memory, tensor
from handlers.cores import threads
from handlers.errors import ForwardFailed, OutOfMemory, Refusal
from handlers.faults import DeviceLost
from handlers.limit import Limit
from handlers.recipe import Recipe
from handlers.runtimes import Opened
from handlers.tasks import Task
from handlers.wire import Item, Outcome, Request, Response, Row


class Handler:
    """One model, opened: `predict` is all that a worker, a test or a command calls."""

    def __init__(self, recipe: Recipe, task: Task, opened: Opened, device: torch.device) -> None:
        self.recipe = recipe
        self.task = task
        self.opened = opened
        self.device = device
        self.limit = Limit(recipe.batch_size)

    @classmethod
    def open(
        cls,
        folder: Path,
        device: torch.device | str = "cpu",
        *,
        reference: bool = False,
        known: Mapping[str, str] = {},
    ) -> Handler:
        """The model of a folder (models/NAME, or an unpacked archive); `reference`: by eager float32.

        `known` has the sha256 of files that were verified just now, by their path in the folder.
        Raises BadRecipe or BadCheckpoint; with the files of a recipe missing, BadRecipe names them.
        """
        device = torch.device(device)
        if device.type == "cuda" and device.index is not None:
            torch.cuda.set_device(device)  # streams, graphs and pinned memory follow the current device
        found = recipe.load(folder)
        for key, name in recipe.missing_files(found, folder):
            raise recipe.not_found(folder, key, name)
        task = tasks.open_task(found.handler, folder)
        model, own_threads = found.handler, threads(found)
        with torch.inference_mode():
            opened = (
                runtimes.reference(model, folder, device, own_threads)
                if reference
                else runtimes.opened(model, folder, device, own_threads, known)
            )
        return cls(found, task, opened, device)

    def predict(self, rows: Sequence[Row]) -> list[Response]:
        """One response for each row, in order. Never raises for what a row holds, but DeviceLost."""
        return self.batch(rows).responses

    def batch(self, rows: Sequence[Row]) -> Batch:
        """The same, with how long each phase took and what became of each item."""
        watch, shortages = Stopwatch(), self.limit.shortages
        requests = [self._read(row) for row in rows]
        watch.lap("reading")
        evaluated = iter(self._evaluate([one for one in requests if isinstance(one, Request)], watch))
        outcomes: list[list[Outcome]] = [
            next(evaluated) if isinstance(request, Request) else [request] for request in requests
        ]
        responses = [_written(*each) for each in zip(rows, requests, outcomes, strict=True)]
        watch.lap("finishing")
        told = (codes(*each) for each in zip(responses, outcomes, strict=True))
        counted = Counter(code for each in told for code in each)
        return Batch(responses, watch.seconds, counted, self.limit.shortages - shortages)

    def evaluate(self, requests: Sequence[Request]) -> list[list[Outcome]]:
        """The outcome of each item of each request: its answer with the raw output, or a refusal."""
        return self._evaluate(requests, Stopwatch())

    def _evaluate(self, requests: Sequence[Request], watch: Stopwatch) -> list[list[Outcome]]:
        inputs = [self._prepare(item) for request in requests for item in request.items]
        watch.lap("preparing")
        outputs = self._run(inputs)
        watch.lap("network")
        outcomes = iter([self._finish(output) for output in outputs])
        return [[next(outcomes) for _ in request.items] for request in requests]

    def _read(self, row: Row) -> Request | Refusal:
        return guarded(lambda: wire.read(row, self.recipe.handler))

    def _prepare(self, item: Item) -> Stage:
        return guarded(lambda: tensor(self.task.prepare(item)))

    def _finish(self, output: Stage) -> Outcome:
        if isinstance(output, Refusal):
            return output
        return guarded(lambda: answered(self.task, output))

    def _run(self, inputs: Sequence[Stage]) -> list[Stage]:
        """Raw outputs in the order of `inputs`; what was refused before stays refused."""
        stages = list(inputs)
        for chunk in _chunks(stages, self.limit):
            tensors = [
                stage for stage in (stages[index] for index in chunk) if isinstance(stage, torch.Tensor)
            ]
            for index, output in zip(chunk, blamed(self._forward(tensors)), strict=True):
                stages[index] = output
        return stages

    def _forward(self, tensors: Sequence[torch.Tensor]) -> list[Stage]:
        """One pass over the stacked batch; when it fails, each half for itself, down to the culprit."""
        try:
            outputs = self.forward(torch.stack(list(tensors))).unbind()
        except Exception as error:
            refusal = self._failed(error, len(tensors))
        else:
            self.limit.passed(len(tensors))
            return list(outputs)
        if isinstance(refusal, OutOfMemory):
            faults.free()  # only here, where the error no longer holds what the pass had
        if len(tensors) == 1:
            return [refusal]
        half = len(tensors) // 2
        return [*self._forward(tensors[:half]), *self._forward(tensors[half:])]

    def _failed(self, error: Exception, items: int) -> Refusal:
        """What a pass of so many items raised, as one of ours; raises DeviceLost."""
        if faults.lost(error):
            raise DeviceLost(f"{self.device}: {type(error).__name__}: {error}") from error
        if not faults.out_of_memory(error):
            return failed(error)
        self.limit.short(items)
        traceback.clear_frames(error.__traceback__)
        return short_of_memory(error)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """[items, ...] on the CPU -> raw outputs [items, ...], float32 on the CPU."""
        with torch.inference_mode():
            output = self.opened.run(batch)
            if output.dim() == 0 or len(output) != len(batch):
                raise ForwardFailed(
                    f"for {len(batch)} items the network gave the shape {list(output.shape)}",
                    hint="its first dimension must be the batch",
                )
            return output


def _chunks(stages: Sequence[Stage], limit: Limit) -> Iterator[list[int]]:
    """Indices of the good ones, as many as the limit allows by then, and only what can be stacked."""
    shapes: dict[tuple[object, ...], list[int]] = {}
    for index, stage in enumerate(stages):
        if isinstance(stage, torch.Tensor):
            shapes.setdefault((stage.dtype, *stage.shape), []).append(index)
    for indices in shapes.values():
        while indices:
            size = limit.size
            yield indices[:size]
            indices = indices[size:]


def _written(row: Row, request: Request | Refusal, outcomes: Sequence[Outcome]) -> Response:
    """The response; what an owner's task answers and can't be written fails for this row alone."""
    if isinstance(request, Refusal):
        return wire.refuse(row, request)
    try:
        return wire.write(request, outcomes)
    except Exception as error:
        return wire.refuse(row, failed(error))
