"""Whose fault it is: what goes wrong with one item becomes that item's own refusal, and nobody else's."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TypeAlias, TypeVar

import msgspec
import numpy as np
import torch

from handlers.errors import BadInput, ForwardFailed, OutOfMemory, Refusal
from handlers.tasks import Task
from handlers.wire import Answered

T = TypeVar("T")

Stage: TypeAlias = torch.Tensor | Refusal
"""Where an item stands between two steps: a tensor, or the reason why it stopped."""


def guarded(step: Callable[[], T]) -> T | Refusal:
    """What the step gives, or why it refused; nothing that one item holds may reach its neighbours."""
    try:
        return step()
    except Exception as error:
        return failed(error)


def failed(error: Exception) -> Refusal:
    """The error as one of ours, with what raised it as its cause for the log."""
    if isinstance(error, Refusal):
        return error
    refusal = ForwardFailed(f"{type(error).__name__}: {error}")
    refusal.__cause__ = error
    return refusal


def blamed(outputs: Iterable[Stage]) -> list[Stage]:
    """Where some items passed, those that failed are at fault themselves; where none did, we are.

    For want of memory nobody is.
    """
    stages = list(outputs)
    if not any(isinstance(stage, torch.Tensor) for stage in stages):
        return stages
    return [_culprit(stage) if isinstance(stage, Refusal) else stage for stage in stages]


def short_of_memory(error: Exception) -> OutOfMemory:
    """For an item whose pass alone ran out of memory."""
    refusal = OutOfMemory(
        "the memory isn't enough for this input now", hint="send it again later, or send a smaller one"
    )
    refusal.__cause__ = error
    return refusal


def _culprit(error: Refusal) -> Refusal:
    if isinstance(error, OutOfMemory):
        return error
    refused = BadInput(
        "the network failed on this input, but not on others in the same batch",
        code="forward_failed",
        hint="check the values against what the model was trained on",
        status=422,
    )
    refused.__cause__ = error
    return refused


def tensor(prepared: object) -> torch.Tensor:
    """What a task prepared; raises ForwardFailed for anything but a tensor."""
    if not isinstance(prepared, torch.Tensor):
        raise ForwardFailed(f"prepare gave a {type(prepared).__name__}", hint="it must return a tensor")
    return prepared


def answered(task: Task, output: torch.Tensor) -> Answered:
    """The answer with its JSON; raises BadInput when a number in it isn't finite."""
    if not np.isfinite(output.numpy()).all():  # a quarter of torch's time on the few values of an answer
        raise _not_finite()
    answer = task.finish(output)
    encoded = msgspec.json.encode(answer)
    if b"null" in encoded and not _all_finite(msgspec.to_builtins(answer)):
        raise _not_finite()  # msgspec writes NaN as null
    return Answered(answer, encoded, output)


def _not_finite() -> BadInput:
    return BadInput(
        "the model's output for this input is not finite",
        code="output_not_finite",
        hint="check that the values are in the range that the model was trained on",
        status=422,
    )


def _all_finite(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_all_finite, value.values()))
    return not isinstance(value, (list, tuple)) or all(map(_all_finite, value))
