"""Memory that runs out and devices that break, raised where a network executes: what becomes of a batch."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from handlers import faults
from handlers.faults import DeviceLost
from handlers.handler import Handler
from handlers.runtimes import Opened
from handlers.runtimes.decision import EAGER
from handlers.wire import Row
from tests import tiny_models

CPU_MESSAGE = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"
ASSERTED = "CUDA error: device-side assert triggered"


def onnxruntime_fail(message: str) -> Exception:
    """As ONNX Runtime raises it: no RuntimeError."""
    from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

    error: Exception = RuntimeException(message)
    return error


SHORT = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError(CPU_MESSAGE),
    RuntimeError("Exception from src/inference: std::bad_alloc"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    torch.AcceleratorError("CUDA error: out of memory"),
    onnxruntime_fail("Failed to allocate memory for requested buffer of size 1024"),
    MemoryError(),
]
BROKEN = [torch.AcceleratorError(ASSERTED), RuntimeError(ASSERTED)]


@pytest.mark.parametrize("error", SHORT, ids=lambda error: type(error).__name__)
def test_memory_that_ran_out_is_told_from_all_else(error: Exception) -> None:
    assert faults.out_of_memory(error)
    assert not faults.lost(error)


@pytest.mark.parametrize("error", BROKEN, ids=lambda error: type(error).__name__)
def test_a_broken_device_is_told_from_all_else(error: Exception) -> None:
    assert faults.lost(error)
    assert not faults.out_of_memory(error)


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("DefaultCPUAllocator")])
def test_what_a_network_raises_is_neither(error: Exception) -> None:
    assert not faults.lost(error)
    assert not faults.out_of_memory(error)


def handler(folder: Path, run: Callable[[torch.Tensor], torch.Tensor], batch_size: int = 8) -> Handler:
    found = Handler.open(tiny_models.write(folder, "return x", batch_size=batch_size))
    return Handler(found.recipe, found.task, Opened(run, EAGER), found.device)


def rows(*values: float) -> list[Row]:
    return [Row({"body": json.dumps([value, 0]).encode()}, {}, f"id-{value}") for value in values]


def at_most(most: int, error: Exception, seen: list[int]) -> Callable[[torch.Tensor], torch.Tensor]:
    def run(batch: torch.Tensor) -> torch.Tensor:
        seen.append(len(batch))
        if len(batch) > most:
            raise error
        return batch * 2

    return run


@pytest.mark.parametrize("error", SHORT, ids=lambda error: type(error).__name__)
def test_a_batch_that_does_not_fit_is_halved_answered_and_not_tried_again(
    error: Exception, tmp_path: Path
) -> None:
    seen: list[int] = []
    found = handler(tmp_path, at_most(2, error, seen))
    first = found.batch(rows(*range(8)))
    assert [response.status for response in first.responses] == [200] * 8
    answers = [json.loads(response.body)["output"] for response in first.responses]
    assert answers == [[2 * value, 0] for value in range(8)]
    assert first.shortages == 3
    assert seen == [8, 4, 2, 2, 4, 2, 2]
    seen.clear()
    second = found.batch(rows(*range(8)))
    assert [response.status for response in second.responses] == [200] * 8
    assert (seen, second.shortages) == ([2] * 4, 0)


def test_an_item_that_does_not_fit_alone_is_nobodys_fault(tmp_path: Path) -> None:
    def run(batch: torch.Tensor) -> torch.Tensor:
        if (batch == 13).any():
            raise torch.OutOfMemoryError("CUDA out of memory of 78 GiB")
        return batch

    batch = handler(tmp_path, run).batch(rows(1, 13, 2))
    assert [response.status for response in batch.responses] == [200, 503, 200]
    error = json.loads(batch.responses[1].body)["error"]
    assert error["code"] == "out_of_memory"
    assert "smaller" in error["hint"]
    assert "78" not in batch.responses[1].body.decode()
    assert batch.items == {"ok": 2, "out_of_memory": 1}
    (logged,) = batch.responses[1].errors
    assert "78 GiB" in str(logged.__cause__)


def test_what_the_failed_pass_held_is_let_go_before_the_halves_are_tried(tmp_path: Path) -> None:
    held: list[weakref.ref[torch.Tensor]] = []
    alive: list[bool] = []

    def run(batch: torch.Tensor) -> torch.Tensor:
        alive.append(any(one() is not None for one in held))
        large = batch * 2
        held.append(weakref.ref(large))
        if len(batch) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return batch

    gc.disable()
    try:
        handler(tmp_path, run).predict(rows(1, 2, 3, 4))
    finally:
        gc.enable()
    assert alive == [False] * 7


@pytest.mark.parametrize("error", BROKEN, ids=lambda error: type(error).__name__)
def test_a_broken_device_answers_nobody(error: Exception, tmp_path: Path) -> None:
    found = handler(tmp_path, at_most(0, error, []))
    with pytest.raises(DeviceLost, match="device-side assert"):
        found.predict(rows(1, 2))
