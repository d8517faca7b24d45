"""TorchServe's gRPC stubs: built once from its jar, by however many processes, where it can be written."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from scripts import caches
from scripts.calling import stubs
from scripts.errors import CommandError
from scripts.places import ROOT


def contents(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.py")}


BUILT = {"torchserve_stubs/inference_pb2.py", "torchserve_stubs/inference_pb2_grpc.py"}


def test_the_stubs_know_torchserves_inference_service() -> None:
    found = stubs.load()
    request = found.messages.PredictionsRequest(model_name="digits_cnn", input={"data": b"1"})
    assert request.SerializeToString()
    assert found.services.InferenceAPIsServiceStub
    assert all("site-packages" not in path for path in sys.path if "pthserve-stubs" in path)


def test_they_are_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caches, "folders", lambda name: iter([tmp_path / "stubs"]))
    folder = stubs.built()
    assert contents(folder) == BUILT
    monkeypatch.setattr(stubs, "_build", lambda jar, folder: pytest.fail("built again"))
    assert stubs.built() == folder


def test_what_cannot_be_written_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = tmp_path / "file"
    taken.touch()
    monkeypatch.setattr(caches, "folders", lambda name: iter([taken / "stubs", tmp_path / "cache"]))
    assert stubs.built().parent == tmp_path / "cache"


def test_where_nothing_can_be_written_they_are_this_process_s_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = tmp_path / "file"
    taken.touch()
    monkeypatch.setattr(caches, "folders", lambda name: iter([taken / "stubs"]))
    monkeypatch.setattr(stubs, "_temporary", lambda: tmp_path)
    assert contents(stubs.built()) == BUILT


def test_processes_that_build_at_the_same_time_leave_one_result(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from scripts.calling import stubs;"
        "stubs.caches.folders = lambda name: iter([pathlib.Path(sys.argv[1])]);"
        "print(stubs.load().services.__file__)"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program, tmp_path], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    printed = {process.communicate(timeout=60)[0] for process in running}
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(printed) == 1
    (folder,) = tmp_path.iterdir()
    assert contents(folder) >= BUILT


def test_a_jar_without_them_is_told(tmp_path: Path) -> None:
    jar = tmp_path / "model-server.jar"
    with zipfile.ZipFile(jar, "w"):
        pass
    with pytest.raises(CommandError, match="install torchserve again"):
        stubs.built(jar)


def test_nothing_imports_grpc_or_torch_before_it_is_used() -> None:
    program = (
        "import sys, scripts.cli, scripts.calling.grpc_client, scripts.predict, scripts.calling.stubs;"
        "print({'grpc', 'grpc_tools', 'google', 'torch'} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "set()\n"
