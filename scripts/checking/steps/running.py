"""One input through the network, and what the task reads from its output."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from msgspec import json
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from handlers import blame
from handlers.errors import BadCheckpoint, ForwardFailed, Refusal, listed
from scripts.checking.finding import Finding
from scripts.checking.steps.example import example
from scripts.checking.steps.trial import Trial, named


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
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            raise _network_failed(trial.example, error) from error
        finally:
            trial.entered = modules
    return f"gives {list(trial.output.shape)}"


HINTS = (
    (
        "positional argument",
        "an item is one tensor here: let forward in model.py take it, and make the others",
    ),
    ("allocate memory", "it needs more memory than there is: a smaller input, or another machine"),
    ("NVIDIA", "take x.device in forward instead of a fixed one: a worker may have no GPU"),
    ("CUDA", "take x.device in forward instead of a fixed one: a worker may have no GPU"),
)
"""What to do about a failing network, by a word of its message."""
MISFIT = "compare handler.input (mode, size, shape, flatten) with what the network takes"


def _network_failed(given: torch.Tensor, error: BaseException) -> ForwardFailed:
    told = named(error)
    if isinstance(error, (SystemExit, KeyboardInterrupt)):
        hint = "remove what ends the interpreter: it would end the worker"
    else:
        hint = next((hint for word, hint in HINTS if word in told), MISFIT)
    return ForwardFailed(f"the network fails on an input of {list(given.shape)}: {told}", hint=hint)


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
        broken = [name for name, value in trial.network.named_parameters() if not value.isfinite().all()]
        raise BadCheckpoint(
            "the network's output is not finite"
            + (f", and {listed(broken, 3)} holds NaN or infinity" if broken else ""),
            hint="take a checkpoint from before training diverged" if broken else "check the samples",
        )
    return f"the output is within {float(trial.output.abs().max()):.4g} of 0"


def answer(trial: Trial) -> str:
    """What the task reads from the output, as JSON; too few labels end here; raises Refusal."""
    try:
        json.encode(trial.task.finish(trial.output))
    except Refusal:
        raise
    except Exception as error:
        raise ForwardFailed(
            f"the task fails on an output of {list(trial.output.shape)}: {named(error)}",
            hint="correct its finish, or what the network returns; what it answers must be fit for JSON",
        ) from error
    count = trial.output.numel()
    labels = getattr(trial.task, "labels", None)
    names = trial.model.output.names
    called = f"{len(labels)} labels" if labels else f"{len(names)} names" if isinstance(names, list) else ""
    return f"{count} outputs" + (f", {called}" if called else "")


def time(trial: Trial) -> Iterator[Finding]:
    """Whether the largest batch that was tried takes longer than TorchServe waits; nothing if it doesn't."""
    size, seconds = max(trial.seconds.items())
    limit = trial.recipe.response_timeout
    if seconds > limit:
        yield Finding(
            "time",
            "warn",
            f"a batch of {size} takes {seconds:.3g} s here, and after {limit} s TorchServe ends the worker",
            "raise responseTimeout" + (", or lower batchSize" if size > 1 else ""),
        )


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
