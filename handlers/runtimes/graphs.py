"""CUDA graphs: a network captured at fixed batch sizes, replayed without the CPU launching each kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch

Step: TypeAlias = Callable[[torch.Tensor], torch.Tensor]
"""A batch on the device -> raw outputs on the device."""

MOST = 32
"""Captured graphs: each keeps its inputs and outputs. What comes beyond is executed as it is."""

WARM_UP = 3
"""Passes before the capture, as torch.cuda.graph's documentation has them: libraries choose their kernels."""


class Captured:
    """One graph: its memory for a batch of one size, and for what comes out."""

    def __init__(self, step: Step, example: torch.Tensor) -> None:
        self._given = example.clone()
        side = torch.cuda.Stream(example.device)  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream(example.device))
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                step(self._given)
        torch.cuda.current_stream(example.device).wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, stream=side):
            self._output = step(self._given)

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        self._given.copy_(batch, non_blocking=True)
        self._graph.replay()
        return self._output


class Graphs:
    """A step whose batches are padded up to 1, 2, 4, ... items, each size captured when it first comes."""

    def __init__(self, step: Step, capture: Callable[[Step, torch.Tensor], Step] = Captured) -> None:
        self._step = step
        self._capture = capture
        self._captured: dict[tuple[object, ...], Step] = {}

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Valid until the next call: the memory is the graph's own."""
        padded = _padded(batch)
        key = (padded.dtype, *padded.shape)
        if key not in self._captured:
            if len(self._captured) == MOST:
                return self._step(batch)
            try:
                self._captured[key] = self._capture(self._step, padded)
            except torch.OutOfMemoryError:
                self._captured.clear()  # what they hold is given back before the halves are tried
                raise
        output = self._captured[key](padded)
        if len(output) != len(padded):  # then whose output is whose can't be told
            return self._step(batch)
        return output[: len(batch)]


def _padded(batch: torch.Tensor) -> torch.Tensor:
    """With zeros for items up to the next power of two."""
    size = 1 << (len(batch) - 1).bit_length()
    if size == len(batch):
        return batch
    return torch.cat([batch, batch.new_zeros((size - len(batch), *batch.shape[1:]))])
