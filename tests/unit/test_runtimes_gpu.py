"""The same recipe on a GPU: answers, captured graphs, memory that runs out, a broken device."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from handlers import processor, recipe
from handlers.handler import Handler
from handlers.network import open_network
from handlers.runtimes import eager, torchscript
from handlers.runtimes.setting import Material, Option, Setting
from tests.decided import CPU

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "models" / "digits_cnn"


def batch_of(items: int) -> torch.Tensor:
    return torch.randn(items, 3, 28, 28, generator=torch.Generator().manual_seed(items))


def test_a_gpu_is_told_by_name_and_capability() -> None:
    assert " sm_" in processor.kind(torch.device("cuda"))


@pytest.mark.parametrize(
    "options", [(), ("channels_last",), ("cuda_graphs",), ("channels_last", "cuda_graphs")]
)
def test_answers_equal_those_of_the_cpu(options: tuple[Option, ...], tmp_path: Path) -> None:
    model = recipe.load(FOLDER).handler
    reference = Handler.open(FOLDER, reference=True)
    setting = Setting(torch.device("cuda", 0), 1, "float32", options)
    with torch.inference_mode():
        run = eager.open_runtime(model, FOLDER, setting, None)
        for items in (1, 3, 8, 5, 3):
            found = run(batch_of(items))
            torch.testing.assert_close(found, reference.forward(batch_of(items)), rtol=2e-3, atol=2e-3)


def test_bfloat16_is_close_to_float32() -> None:
    model = recipe.load(FOLDER).handler
    setting = Setting(torch.device("cuda", 0), 1, "bfloat16", ("cuda_graphs",))
    with torch.inference_mode():
        found = eager.open_runtime(model, FOLDER, setting, None)(batch_of(8))
    expected = Handler.open(FOLDER, reference=True).forward(batch_of(8))
    assert 0 < (found - expected).abs().max() < 0.1 * expected.abs().max()


def test_torchscript_executes_there_too(tmp_path: Path) -> None:
    model = recipe.load(FOLDER).handler
    setting = Setting(torch.device("cuda", 0), 1)
    network = open_network(model, FOLDER, CPU)
    torchscript.build(Material(network, batch_of(4)), setting, tmp_path)
    with torch.inference_mode():
        found = torchscript.open_runtime(model, FOLDER, setting, tmp_path)(batch_of(3))
        torch.testing.assert_close(found, network(batch_of(3)), rtol=2e-3, atol=2e-3)


def test_memory_that_really_runs_out_is_told() -> None:
    from handlers import faults

    with pytest.raises(RuntimeError) as raised:
        torch.empty(1 << 50, device="cuda")
    assert faults.out_of_memory(raised.value)


BREAK = """
import torch
from handlers import faults
try:
    torch.zeros(3, device="cuda")[torch.tensor([7], device="cuda")].cpu()
except Exception as error:
    print(faults.lost(error))
"""


def test_an_assert_in_a_kernel_is_told() -> None:
    done = subprocess.run([sys.executable, "-c", BREAK], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "True"
