"""What a worker opens: the task, the checkpoint's tensors, the architecture with these tensors in it."""

from __future__ import annotations

from pathlib import Path

import torch
from msgspec import UNSET

from handlers import checkpoint, runtimes, tasks
from handlers.cores import threads
from handlers.recipe import Model
from handlers.tasks import Classify
from scripts.checking.steps.trial import Trial

PRE_1_6 = b"\x80"
"""A bare pickle, as torch.save wrote it before 1.6; since then it is a zip."""


def task(trial: Trial) -> str:
    named = trial.model.output.labels
    trial.require(*([named] if isinstance(named, str) else []))
    trial.task = tasks.open_task(trial.model, trial.folder)
    labels = trial.task.labels if isinstance(trial.task, Classify) else None
    return trial.model.task + (f", {len(labels)} labels" if labels is not None else "")


def weights(trial: Trial) -> str:
    """The checkpoint without any code; TorchScript is code, and opened with the architecture."""
    trial.require(trial.model.weights)
    path = trial.folder / trial.model.weights
    if checkpoint.is_torchscript(path):
        return "TorchScript, which brings its own architecture"
    key = None if trial.model.weights_key is UNSET else trial.model.weights_key
    state = checkpoint.read(path, key)
    size = sum(value.nbytes for value in state.values()) / 2**20
    return f"{_format(path)}, {len(state)} tensors, {size:.1f} MiB; nothing in it was executed"


def _format(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(9)
    if path.suffix == ".safetensors" or head[8:] == b"{":  # behind the header's length, which may be anything
        return "safetensors"
    return "PyTorch file from before 1.6" if head.startswith(PRE_1_6) else "PyTorch file"


def architecture(trial: Trial) -> str:
    """Built and strictly loaded, by the call that a worker makes."""
    with torch.inference_mode():
        trial.opened = runtimes.reference(
            trial.model, trial.folder, torch.device("cpu"), threads(trial.recipe)
        )
    allowed = [*trial.model.allow_missing, *trial.model.allow_unexpected]
    strictly = f"but for {', '.join(allowed)}" if allowed else "strictly"
    return f"{_named(trial.model)} takes them {strictly}"


def _named(model: Model) -> str:
    declared = model.architecture
    if declared is UNSET:
        return "TorchScript"
    way = declared.given[0]
    name = {"class": declared.class_, "factory": declared.factory}.get(way, declared.torchvision)
    given = ", ".join(f"{key}={value!r}" for key, value in declared.args.items())
    return f"{name}({given})"
