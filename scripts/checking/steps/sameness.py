"""The same input gives the same output: every time, in each place of a batch, and in every company."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from handlers.errors import BadCheckpoint, Refusal
from handlers.recipe import Tolerance
from scripts.checking.steps import watch
from scripts.checking.steps.example import neighbours
from scripts.checking.steps.trial import Trial

TOLERANCE = Tolerance()


def twice(trial: Trial) -> str:
    """An output may not depend on chance; raises BadCheckpoint naming what is random, where that is seen.

    The same item fills a batch, too: chance that falls anew for each place in it shows there, however rare
    or however fixed its seed.
    """
    copies = _copies(trial)
    pairs = [(trial.output, trial.first(trial.example)), *((copies[0], one) for one in copies[1:])]
    if not all(_same(*pair) for pair in pairs):
        raise BadCheckpoint(
            f"the same input gives another output each time{_culprits(trial)}",
            hint="dropout or sampling is active although the network is in eval mode: look for "
            "F.dropout without training=self.training, or random numbers in forward",
        )
    return f"differs by {_difference(*pairs[0]):.2g}"


def _copies(trial: Trial) -> Sequence[torch.Tensor]:
    """The outputs for a full batch of the same item; none where the network takes no batch, told of later."""
    try:
        return list(trial.outputs(*[trial.example] * trial.recipe.batch_size))
    except Exception:
        return ()


def company(trial: Trial) -> str:
    """Nor on an item's neighbours in the largest batch that is served; raises BadCheckpoint."""
    size = trial.recipe.batch_size
    if size == 1:
        return "is never asked for: batchSize is 1"
    among = _among(trial, size - 1)
    if not _same(trial.output, among):
        raise BadCheckpoint(
            f"an item's output depends on its neighbours in a batch of {size}{_culprits(trial)}",
            hint="look for BatchNorm in training mode, or for a mean over the batch dimension in forward",
        )
    return f"of {size} differs by {_difference(trial.output, among):.2g}"


def _among(trial: Trial, count: int) -> torch.Tensor:
    """The example's output beside others made of it; beside its copies where those are no valid inputs."""
    try:
        return trial.first(trial.example, *neighbours(trial.example, count))
    except Refusal:
        raise
    except Exception:
        return trial.first(trial.example, *[trial.example] * count)


def _culprits(trial: Trial) -> str:
    """Where a forward pass depends on chance or on the batch, as far as can be seen; "" if nowhere."""
    try:
        seen = watch.watched(trial, [trial.example])
    except Exception:
        return ""
    told = list(dict.fromkeys(str(one) for one in (*seen.random, *seen.by_batch)))
    return f": {'; '.join(told[:3])}" if told else ""


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(
        one, other, rtol=TOLERANCE.relative, atol=TOLERANCE.absolute, equal_nan=True
    )


def _difference(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().nan_to_num().max()) if one.numel() else 0.0
