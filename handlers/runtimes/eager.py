"""PyTorch itself: the reference that every other runtime has to equal."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from handlers.errors import ForwardFailed
from handlers.network import open_network
from handlers.recipe import Model
from handlers.runtimes import weights
from handlers.runtimes.graphs import Graphs, Step
from handlers.runtimes.setting import CantBuild, Material, Runtime, Setting

LIBRARIES = ("torch",)


def build(material: Material, setting: Setting, folder: Path) -> None:
    """weights.safetensors, where the checkpoint isn't what is used; else nothing is needed."""
    setting.only("float32", "bfloat16", cuda=True)
    if "cuda_graphs" in setting.options and setting.device.type != "cuda":
        raise CantBuild("CUDA graphs need a GPU")
    if not isinstance(material.network, torch.jit.ScriptModule):  # which brings weights and code in one
        weights.write(material.network, setting, folder)


def open_runtime(model: Model, folder: Path, setting: Setting, artifacts: Path | None) -> Runtime:
    """The loaded network as a function; raises BadRecipe or BadCheckpoint. Without artifacts: from the
    checkpoint."""
    state = weights.read(artifacts, setting) if artifacts is not None else None
    network = open_network(model, folder, setting.device, state)
    if "channels_last" in setting.options:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    step = _step(network, setting)
    if "cuda_graphs" in setting.options:
        step = Graphs(step)
    return _on_cuda(step, setting.device) if setting.device.type == "cuda" else _on_cpu(step)


def _step(network: nn.Module, setting: Setting) -> Step:
    """The network in the setting's precision and layout, on a batch that lies on its device."""
    channels_last = "channels_last" in setting.options

    def plain(batch: torch.Tensor) -> torch.Tensor:
        if channels_last and batch.dim() == 4:
            batch = batch.contiguous(memory_format=torch.channels_last)
        return _tensor(network(batch))

    def cast(batch: torch.Tensor) -> torch.Tensor:
        # no cache: a captured graph would keep what it holds
        with torch.autocast(setting.device.type, torch.bfloat16, cache_enabled=False):
            return plain(batch)

    return cast if setting.precision == "bfloat16" else plain


def _on_cpu(step: Step) -> Runtime:
    def run(batch: torch.Tensor) -> torch.Tensor:
        return step(batch).to(torch.float32)

    return run


def _on_cuda(step: Step, device: torch.device) -> Runtime:
    def run(batch: torch.Tensor) -> torch.Tensor:
        # from pinned memory the copy is the GPU's own work; the copy back waits for all of it
        given = batch.pin_memory().to(device, non_blocking=True)
        return step(given).to("cpu", torch.float32)

    return run


def _tensor(output: object) -> torch.Tensor:
    if isinstance(output, torch.Tensor):
        return output
    raise ForwardFailed(
        f"the network returned a {type(output).__name__} instead of one tensor",
        hint="wrap it in model.py so that forward returns the tensor that matters",
    )
