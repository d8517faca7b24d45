"""Every runtime against eager float32: the networks of models/ and odd ones, alone and in batches."""

from __future__ import annotations

import hashlib
import logging
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from handlers import recipe
from handlers.network import open_network
from handlers.recipe import Precision, RuntimeName
from handlers.runtimes import named, openvino, torchscript
from handlers.runtimes.setting import CantBuild, Material, Runtime, Setting
from tests.decided import CPU, ONE_THREAD, same_threads

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "models"
BUILT: list[RuntimeName] = ["torchscript", "onnxruntime", "openvino"]

SMALL = {"diabetes": (10,), "diabetes_risk": (10,), "digits_mlp": (784,), "digits_cnn": (3, 28, 28)}
LARGE = {"mobilenet_v2": (3, 224, 224), "parity_resnet18": (3, 224, 224)}


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    with same_threads():
        yield


@pytest.fixture(params=BUILT)
def runtime(request: pytest.FixtureRequest) -> RuntimeName:
    name: RuntimeName = request.param
    return name


def network_of(name: str) -> nn.Module:
    folder = MODELS / name
    return open_network(recipe.load(folder).handler, folder, CPU)


def material(network: nn.Module, batch: torch.Tensor, *dynamic: int) -> Material:
    return Material(network.eval().requires_grad_(False), batch, dynamic or (0,))


def opened(runtime: RuntimeName, made: Material, folder: Path, setting: Setting = ONE_THREAD) -> Runtime:
    module = named(runtime)
    folder.mkdir(exist_ok=True)
    module.build(made, setting, folder)
    with torch.inference_mode():
        return module.open_runtime(recipe.load(MODELS / "diabetes").handler, folder, setting, folder)


def assert_same(run: Runtime, network: nn.Module, *batches: torch.Tensor) -> None:
    for batch in batches:
        with torch.inference_mode():
            expected, got = network(batch), run(batch)
        assert got.dtype == torch.float32
        torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-4)


def parity(name: str, item: tuple[int, ...], runtime: RuntimeName, folder: Path) -> None:
    network = network_of(name)
    batch = torch.randn(8, *item, generator=torch.Generator().manual_seed(0))
    run = opened(runtime, material(network, batch), folder)
    assert_same(run, network, batch, batch[:1], batch[:3], torch.cat([batch, batch])[:11])


@pytest.mark.parametrize("name", SMALL)
def test_answers_equal_eagers_alone_and_in_batches_of_any_size(
    name: str, runtime: RuntimeName, tmp_path: Path
) -> None:
    parity(name, SMALL[name], runtime, tmp_path)


def require_weights(name: str) -> None:
    """Those of the large ones are fetched, or trained."""
    if not (MODELS / name / recipe.load(MODELS / name).handler.weights).is_file():
        pytest.skip(f"{name} has no weights here")


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", LARGE)
def test_answers_of_large_networks_equal_eagers_too(name: str, runtime: RuntimeName, tmp_path: Path) -> None:
    require_weights(name)
    parity(name, LARGE[name], runtime, tmp_path)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", [*SMALL, *LARGE])
def test_what_is_compiled_equals_eager_and_refuses_other_shapes(name: str, tmp_path: Path) -> None:
    require_weights(name)
    item = {**SMALL, **LARGE}[name]
    network = network_of(name)
    batch = torch.randn(8, *item, generator=torch.Generator().manual_seed(0))
    run = opened("compile", material(network, batch), tmp_path)
    assert_same(run, network, batch, batch[:1], batch[:3])
    for wrong in (batch.double(), torch.randn(2, *item[:-1], item[-1] - 1)):
        with pytest.raises(ValueError, match="compiled for items of"):
            run(wrong)


class Embedded(nn.Module):
    """Words as whole numbers, read by a recurrent layer."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(20, 8)
        self.reader = nn.GRU(8, 6, batch_first=True, bidirectional=True)
        self.out = nn.Linear(12, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states, _ = self.reader(self.words(x))
        found: torch.Tensor = self.out(states[:, -1])
        return found


class Pictured(nn.Module):
    """A picture of any size in, a map of the same size out."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 4, 3, stride=2, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.interpolate(self.down(x).relu(), size=x.shape[-2:], mode="bilinear")


class Spelled(nn.Module):
    """Whatever a test says of its input."""

    def __init__(self, forward: Any) -> None:
        super().__init__()
        self.forward = forward


def test_whole_numbers_are_taken(runtime: RuntimeName, tmp_path: Path) -> None:
    network = Embedded()
    batch = torch.randint(0, 20, (4, 7))
    run = opened(runtime, material(network, batch), tmp_path)
    assert_same(run, network, batch, batch[:1], batch[:3])


def test_pictures_of_any_size_are_taken(runtime: RuntimeName, tmp_path: Path) -> None:
    network = Pictured()
    run = opened(runtime, material(network, torch.randn(4, 3, 32, 40), 0, 2, 3), tmp_path)
    sizes = [(4, 32, 40), (1, 32, 40), (2, 20, 51), (1, 64, 64), (3, 5, 7)]
    assert_same(run, network, *(torch.randn(items, 3, *size) for items, *size in sizes))


@pytest.mark.parametrize(
    ("forward", "shape"),
    [
        (lambda x: x.sum(1), []),
        (lambda x: x.unflatten(1, (2, 3)), [2, 3]),
        (lambda x: x.double(), [6]),
    ],
    ids=["numbers", "shaped", "double"],
)
def test_outputs_have_any_shape_and_become_float32(
    forward: Any, shape: list[int], runtime: RuntimeName, tmp_path: Path
) -> None:
    batch = torch.randn(4, 6)
    run = opened(runtime, material(Spelled(forward), batch), tmp_path)
    for items in (4, 1, 3):
        found = run(batch[:items])
        assert list(found.shape) == [items, *shape]
        torch.testing.assert_close(found, forward(batch[:items]).float())


def test_what_is_built_from_one_item_takes_more_and_they_lie_in_memory_in_any_way(
    runtime: RuntimeName, tmp_path: Path
) -> None:
    network = Pictured()
    batch = torch.randn(4, 3, 8, 8)
    run = opened(runtime, material(network, batch[:1]), tmp_path)
    for laid_out in (batch.contiguous(memory_format=torch.channels_last), batch.flip(3), batch[:, :, :, ::1]):
        assert_same(run, network, laid_out, laid_out[1:3])
    wide = torch.randn(4, 3, 8, 16)
    assert_same(run, network, wide[..., ::2])


UNTRACEABLE = {
    "values decide": lambda x: x * 2 if x.sum() > 0 else x,
    "the number of items decides": lambda x: x * 2 if len(x) > 3 else x,
    "several outputs": lambda x: (x, x),
    "outputs by name": lambda x: {"logits": x},
}


@pytest.mark.parametrize("forward", UNTRACEABLE.values(), ids=UNTRACEABLE)
@pytest.mark.parametrize("runtime", [*BUILT, "compile"])
def test_what_cannot_be_built_rightly_is_not_built_and_said_in_a_line(
    forward: Any, runtime: RuntimeName, tmp_path: Path
) -> None:
    with pytest.raises(CantBuild) as refused:
        named(runtime).build(material(Spelled(forward), torch.randn(4, 6)), ONE_THREAD, tmp_path)
    told = str(refused.value)
    assert 10 < len(told) < 320
    assert "\n" not in told
    assert "\x1b" not in told


@pytest.mark.parametrize(
    ("runtime", "precision", "device", "told"),
    [
        ("torchscript", "bfloat16", "cpu", "no bfloat16 here"),
        ("onnxruntime", "int8", "cpu", "no int8 here"),
        ("onnxruntime", "float32", "cuda", "on the CPU alone"),
        ("openvino", "float32", "cuda", "on the CPU alone"),
        ("openvino", "int8", "cpu", "int8 needs inputs"),
        ("compile", "bfloat16", "cpu", "no bfloat16 here"),
        ("eager", "int8", "cpu", "no int8 here"),
    ],
)
def test_what_a_runtime_cannot_do_it_says(
    runtime: RuntimeName, precision: Precision, device: str, told: str, tmp_path: Path
) -> None:
    setting = Setting(torch.device(device), 1, precision)
    with pytest.raises(CantBuild, match=told):
        named(runtime).build(material(nn.Linear(6, 2), torch.randn(4, 6)), setting, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_lacks_is_named_with_the_command_that_adds_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    made = Material(nn.Linear(6, 2), torch.randn(4, 6), calibration=[torch.randn(6)])
    with pytest.raises(CantBuild, match="scripts/pthserve setup int8"):
        openvino.build(made, Setting(CPU, 1, "int8"), tmp_path)


def test_a_processor_without_bfloat16_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(openvino, "_capabilities", lambda: ["FP32", "INT8"])
    with pytest.raises(CantBuild, match="this processor has no bfloat16"):
        openvino.build(material(nn.Linear(6, 2), torch.randn(4, 6)), Setting(CPU, 1, "bfloat16"), tmp_path)


def test_a_compiler_that_lacks_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CantBuild, match="apt-get install g"):
        named("compile").build(material(nn.Linear(6, 2), torch.randn(4, 6)), ONE_THREAD, tmp_path)


def test_machine_code_is_for_pictures_of_one_size(tmp_path: Path) -> None:
    made = material(Pictured(), torch.randn(4, 3, 8, 8), 0, 2, 3)
    with pytest.raises(CantBuild, match="no pictures of any size"):
        named("compile").build(made, ONE_THREAD, tmp_path)


def test_torchscript_is_not_made_of_torchscript(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.trace(nn.Linear(6, 2).eval(), torch.randn(1, 6))  # type: ignore[no-untyped-call]
    with pytest.raises(CantBuild, match="TorchScript already"):
        torchscript.build(Material(scripted, torch.randn(4, 6)), ONE_THREAD, tmp_path)


@pytest.mark.parametrize("precision", ["bfloat16", pytest.param("int8", marks=pytest.mark.exhaustive)])
def test_openvino_executes_lower_precisions_close_to_eager(precision: Precision, tmp_path: Path) -> None:
    if precision == "bfloat16" and "BF16" not in openvino._capabilities():
        pytest.skip("this processor has no bfloat16")
    if precision == "int8":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pytest.importorskip("nncf")
    network = network_of("digits_cnn").eval()
    batch = torch.randn(8, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    made = Material(network, batch, calibration=list(torch.randn(32, 3, 28, 28)))
    run = opened("openvino", made, tmp_path, Setting(CPU, 1, precision))
    with torch.inference_mode():
        for items in (8, 1):
            found, expected = run(batch[:items]), network(batch[:items])
            assert 0 < (found - expected).abs().max() < 0.2 * expected.abs().max()


PROGRAM = """
import sys
from pathlib import Path
import torch
from handlers import recipe
from handlers.network import open_network
from handlers.runtimes import named
from handlers.runtimes.setting import Material, Setting
folder = Path(sys.argv[1])
network = open_network(recipe.load(folder).handler, folder, torch.device("cpu"))
for name in sys.argv[3:]:
    target = Path(sys.argv[2]) / name
    target.mkdir(parents=True)
    named(name).build(Material(network, torch.rand(4, 10)), Setting(torch.device("cpu"), 1), target)
assert not [name for name in sys.modules if name.startswith("openvino_telemetry.")]
"""


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_artifacts_are_the_same_bytes_in_another_process_and_folder_and_nothing_is_printed(
    tmp_path: Path,
) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("recipe.yaml", "model.py", "weights.pth"):
        (copy / name).write_bytes((MODELS / "diabetes" / name).read_bytes())
    words = [sys.executable, "-c", PROGRAM, copy, tmp_path / "there", *BUILT]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""
    here = material(network_of("diabetes"), torch.rand(4, 10))
    for name in BUILT * 2:  # the second time what was built before mustn't count
        folder = tmp_path / "here" / name
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            path.unlink()
        named(name).build(here, ONE_THREAD, folder)
        assert digests(folder) == digests(tmp_path / "there" / name), name
    for path in (tmp_path / "there").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert str(tmp_path).encode() not in content
            assert str(ROOT).encode() not in content


def test_building_leaves_log_and_warnings_as_they_were(tmp_path: Path) -> None:
    before = logging.root.manager.disable
    filters = list(warnings.filters)
    named("openvino").build(material(nn.Linear(6, 2), torch.randn(4, 6)), ONE_THREAD, tmp_path)
    assert logging.root.manager.disable == before
    assert list(warnings.filters) == filters


THREADS = """
import os, sys
from pathlib import Path
import torch
from handlers.runtimes import named
from handlers.runtimes.setting import Setting
torch.set_num_threads(1)
setting = Setting(torch.device("cpu"), int(sys.argv[3]))
before = len(os.listdir("/proc/self/task"))
run = named(sys.argv[1]).open_runtime(None, None, setting, Path(sys.argv[2]))
run(torch.rand(4, 6))
print(len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_session_has_no_more_threads_than_it_may(name: RuntimeName, tmp_path: Path) -> None:
    named(name).build(material(nn.Linear(6, 2), torch.randn(4, 6)), ONE_THREAD, tmp_path)
    counts = []
    for threads in ("1", "4"):
        words = [sys.executable, "-c", THREADS, name, tmp_path, threads]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
        counts.append(int(done.stdout))
    assert counts[0] <= 2
    assert counts[1] <= counts[0] + 3


def test_only_one_module_imports_openvino_which_would_tell_its_maker() -> None:
    """Others come by it through handlers.runtimes.openvino.library."""
    sources = [*(ROOT / "handlers").rglob("*.py"), *(ROOT / "scripts").rglob("*.py")]
    importing = {
        path.relative_to(ROOT).as_posix()
        for path in sources
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.startswith(("import openvino", "    import openvino", "from openvino", "    from openvino"))
    }
    assert importing <= {"handlers/runtimes/openvino.py", "scripts/exporting/targets/openvino.py"}
