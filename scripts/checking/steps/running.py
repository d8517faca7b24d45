"""One input through the network: the same finite output every time and in every company."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from handlers import blame
from handlers.errors import BadCheckpoint, ForwardFailed, Refusal
from handlers.recipe import Tolerance
from scripts.checking.finding import Finding
from scripts.checking.steps import watch
from scripts.checking.steps.example import example, neighbours
from scripts.checking.steps.trial import Trial

TOLERANCE = Tolerance()


def input_(trial: Trial) -> str:
    """The first sample as the network gets it."""
    name, prepared = example(trial)
    trial.example = blame.tensor(prepared)
    low, high = (float(value) for value in trial.example.aminmax())
    return f"{name} becomes {list(trial.example.shape)}, {low:.3g} to {high:.3g}"


def forward(trial: Trial) -> str:
    """One pass, which tells which module is the network; raises Refusal."""
    with _entered() as modules:
        try:
            trial.output = trial.first(trial.example)
        except Refusal:
            raise
        except Exception as error:
            raise _failed("network", "an input", trial.example, error) from error
        finally:
            trial.entered = modules
    return f"gives {list(trial.output.shape)}"


def _failed(who: str, on: str, given: torch.Tensor, error: Exception) -> ForwardFailed:
    message = next(iter(str(error).splitlines()), "")
    hints = {
        "network": "compare handler.input (mode, size, shape, flatten) with what the network takes",
        "task": "correct its finish, or what the network returns",
    }
    return ForwardFailed(
        f"the {who} fails on {on} of {list(given.shape)}: {type(error).__name__}: {message}", hint=hints[who]
    )


@contextmanager
def _entered() -> Iterator[list[tuple[nn.Module, bool]]]:
    """The modules that are entered meanwhile, each with its `training` at that moment."""
    entered: list[tuple[nn.Module, bool]] = []

    def enter(module: nn.Module, _: Any) -> None:
        entered.append((module, bool(getattr(module, "training", False))))

    hook = register_module_forward_pre_hook(enter)
    try:
        yield entered
    finally:
        hook.remove()


def finite(trial: Trial) -> str:
    if not torch.isfinite(trial.output).all():
        raise BadCheckpoint("the network's output is not finite", hint="check the weights and the samples")
    return f"the output is within {float(trial.output.abs().max()):.4g} of 0"


def twice(trial: Trial) -> str:
    """An output may not depend on chance; raises BadCheckpoint naming what is random, where that is seen."""
    again = trial.first(trial.example)
    if not _same(trial.output, again):
        raise BadCheckpoint(
            f"the same input gives another output each time{_culprits(trial)}",
            hint="dropout or sampling is active although the network is in eval mode: look for "
            "F.dropout without training=self.training, or random numbers in forward",
        )
    return f"differs by {_difference(trial.output, again):.2g}"


def company(trial: Trial) -> str:
    """Nor on an item's neighbours in the largest batch that is served; raises BadCheckpoint."""
    size = trial.recipe.batch_size
    if size == 1:
        return "is never asked for: batchSize is 1"
    among = trial.first(trial.example, *neighbours(trial.example, size - 1))
    if not _same(trial.output, among):
        raise BadCheckpoint(
            f"an item's output depends on its neighbours in a batch of {size}{_culprits(trial)}",
            hint="look for BatchNorm in training mode, or for a mean over the batch dimension in forward",
        )
    return f"of {size} differs by {_difference(trial.output, among):.2g}"


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


def answer(trial: Trial) -> str:
    """What the task reads from the output: too few labels end here; raises Refusal."""
    try:
        trial.task.finish(trial.output)
    except Refusal:
        raise
    except Exception as error:
        raise _failed("task", "an output", trial.output, error) from error
    count = trial.output.numel()
    labels = getattr(trial.task, "labels", None)
    names = trial.model.output.names
    named = f"{len(labels)} labels" if labels else f"{len(names)} names" if isinstance(names, list) else ""
    return f"{count} outputs" + (f", {named}" if named else "")


def eval_mode(trial: Trial) -> Iterable[Finding]:
    """Modules that eval() left in training mode, or that forward puts back there."""
    names = {module: name or "the network" for name, module in trial.network.named_modules()}
    left = [module for module in names if getattr(module, "training", False)]
    entered = [module for module, in_training in trial.entered if in_training]
    training = {names.get(module, "?"): type(module).__name__ for module in (*left, *entered)}
    if not training:
        yield Finding("eval mode", "pass", f"all of {sum(1 for _ in trial.network.modules())} modules")
        return
    shown = ", ".join(f"{name} ({kind})" for name, kind in list(training.items())[:4])
    more = f" and {len(training) - 4} more" if len(training) > 4 else ""
    yield Finding(
        "eval mode",
        "warn",
        f"in training mode although eval() was called: {shown}{more}",
        "look for train() in forward, and for a train() or eval() of its own that doesn't call its parent's",
    )
