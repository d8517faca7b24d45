"""What a device raises that is neither the network's fault nor its input's."""

from __future__ import annotations

import torch

SHORTAGES = (
    *("DefaultCPUAllocator", "std::bad_alloc", "Failed to allocate memory"),
    *("CUDA out of memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED"),
)
"""Parts of messages of PyTorch, OpenVINO and ONNX Runtime, whose exceptions tell no more."""


class DeviceLost(Exception):
    """The device's context is broken: every call after it fails, or answers wrong, until the process ends.

    No Refusal: nothing may be answered, and nobody blamed.
    """


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, the GPU's or the machine's."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    ours = isinstance(error, RuntimeError) or type(error).__module__.startswith("onnxruntime")
    return ours and any(part in str(error) for part in SHORTAGES)


def lost(error: BaseException) -> bool:
    """Whether the device can't be used any more: an assert in a kernel, an illegal address."""
    if out_of_memory(error):
        return False
    return isinstance(error, torch.AcceleratorError) or "device-side assert" in str(error)


def free() -> None:
    """Give back what PyTorch keeps of the GPU's memory for later."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
