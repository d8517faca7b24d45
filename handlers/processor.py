"""What kind of processor executes here: a decision for one kind tells nothing of another."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

import torch

TELLING = frozenset(
    {"avx", "avx2", "fma", "avx512f", "avx512_bf16", "avx512_vnni", "avx_vnni", "amx_tile", "amx_bf16"}
    | {"amx_int8", "amx_fp16", "avx512_fp16", "asimd", "sve", "sve2", "bf16", "i8mm"}
)
"""Flags of /proc/cpuinfo by which PyTorch, ONNX Runtime and OpenVINO choose other code."""

CPUINFO = Path("/proc/cpuinfo")


def kind(device: torch.device) -> str:
    """Equal for two processors that execute the same code: "x86_64 avx avx2 fma", or the GPU's name."""
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        return f"{torch.cuda.get_device_name(device)} sm_{major}{minor}"
    return " ".join([platform.machine(), *sorted(TELLING & _flags(CPUINFO))])


@cache
def _flags(cpuinfo: Path) -> frozenset[str]:
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    told = (line.partition(":") for line in lines)
    flags = (found for name, _, found in told if name.strip() in ("flags", "Features"))  # x86, ARM
    return frozenset(next(flags, "").split())
