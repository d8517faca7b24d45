"""weights.safetensors: a network's weights as eager PyTorch uses them, one copy for all workers.

A worker that maps this file shares its pages with the others. The checkpoint itself does that where it
holds the very bytes that are used; a file from before PyTorch 1.6, one in another precision or another
layout would become a copy in each worker.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from handlers.checkpoint import StateDict
from handlers.runtimes.setting import Setting

FILE_NAME = "weights.safetensors"

WORTH = 1 << 20
"""Bytes that each worker would have for itself, below which a file isn't worth its while."""

CAST = (
    *(nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)
"""Modules whose weights autocast casts at each call, to the same values as these here."""

MAPS = Path("/proc/self/maps")


def write(network: nn.Module, setting: Setting, folder: Path) -> None:
    """The network's state dict as it is used, if that isn't what the checkpoint's own pages hold."""
    state = {name: value for name, value in network.state_dict().items() if isinstance(value, torch.Tensor)}
    cast = _cast(network) if setting.precision == "bfloat16" else set()
    used = {
        name: _laid_out(value.to(torch.bfloat16) if name in cast else value, setting)
        for name, value in state.items()
    }
    mapped = list(_mapped())
    own = sum(
        one.nbytes
        for name, one in used.items()
        if not any(one.data_ptr() in pages for pages in mapped) or one.data_ptr() != state[name].data_ptr()
    )
    if cast or own >= WORTH:  # what isn't cast in advance is at each call
        # clones, because tied weights are one memory, which the format doesn't have
        safetensors.torch.save_file({name: one.clone() for name, one in used.items()}, folder / FILE_NAME)


def read(folder: Path, setting: Setting) -> StateDict | None:
    """The weights, memory-mapped; None where there is no such file."""
    path = folder / FILE_NAME
    if not path.is_file():
        return None
    return {name: _as_used(value, setting) for name, value in safetensors.torch.load_file(path).items()}


def _cast(network: nn.Module) -> set[str]:
    """Names of what is used in bfloat16, and by nothing that needs it in float32."""
    holders = [(type(module) in CAST, path, module) for path, module in network.named_modules()]
    kept = {
        id(parameter)
        for casts, _, module in holders
        if not casts
        for parameter in module.parameters(recurse=False)
    }
    return {
        f"{path}.{name}".lstrip(".")
        for casts, path, module in holders
        if casts
        for name, parameter in module.named_parameters(recurse=False, remove_duplicate=False)
        if parameter.dtype == torch.float32 and id(parameter) not in kept
    }


def _laid_out(value: torch.Tensor, setting: Setting) -> torch.Tensor:
    """As it lies in the file: [O, H, W, I] where channels come last."""
    last = "channels_last" in setting.options and value.dim() == 4
    return (value.permute(0, 2, 3, 1) if last else value).contiguous()


def _as_used(value: torch.Tensor, setting: Setting) -> torch.Tensor:
    """A view of what `_laid_out` gave, with the dimensions where they belong."""
    return value.permute(0, 3, 1, 2) if "channels_last" in setting.options and value.dim() == 4 else value


def _mapped() -> Iterator[range]:
    """Addresses of this process that are pages of files."""
    for line in MAPS.read_text(encoding="utf-8", errors="replace").splitlines():
        addresses, _, _, _, inode, *_ = line.split()
        if inode != "0":
            start, _, end = addresses.partition("-")
            yield range(int(start, 16), int(end, 16))
