"""Temporary folders of the dead are cleared with the processes that use them, those of the living aren't."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from scripts.places import ROOT
from scripts.processes import scratch
from scripts.processes.scratch import Scratch

LEAVES_A_PROCESS = """
import subprocess, sys, time
from scripts.processes.scratch import Scratch
scratch = Scratch("test-")
folder = scratch.path
worker = subprocess.Popen(
    [sys.executable, "-S", "-c", "import time; time.sleep(600)", "--socket", f"{folder}/tmp/socket"],
    start_new_session=True,
)
print(folder, worker.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary directory of our own: `clear` would take the true one's."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


@pytest.fixture
def owner() -> Iterator[tuple[psutil.Popen, Path, psutil.Process]]:
    """A process with a folder, and another that names it in its command line."""
    command = [sys.executable, "-c", LEAVES_A_PROCESS]
    with psutil.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as started:
        folder, pid = started.stdout.readline().split()
        worker = psutil.Process(int(pid))
        try:
            yield started, Path(folder), worker
        finally:
            for process in (started, worker):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()


def test_what_a_killed_owner_left_is_cleared_with_the_processes_that_use_it(
    owner: tuple[psutil.Popen, Path, psutil.Process],
) -> None:
    started, folder, worker = owner
    bystander = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
    try:
        assert scratch.clear() == [], "while its owner lives"
        assert worker.status() != psutil.STATUS_ZOMBIE
        assert folder.is_dir()
        started.kill()
        started.wait()
        assert scratch.clear() == [f"cleared {folder}, ended process {worker.pid}"]
        assert not folder.exists()
        assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE
        assert bystander.poll() is None
        assert scratch.clear() == []
    finally:
        bystander.kill()
        bystander.wait()


def test_a_folder_of_our_own_is_left_alone_until_it_is_removed(temporary: Path) -> None:
    with Scratch("kind-") as folder:
        assert folder.parent == temporary
        assert folder.name.startswith("pthserve-kind-")
        assert scratch.clear() == []
        (folder / "deep").mkdir()
        (folder / "deep" / "file").write_text("content")
    assert list(temporary.iterdir()) == []


def test_folders_that_others_named_alike_are_left_alone(temporary: Path) -> None:
    (temporary / "pthserve-notes").mkdir()
    (temporary / "pthserve-file").write_text("a file")
    unnamed = temporary / "pthserve-begun"
    unnamed.mkdir()
    (unnamed / "lock").write_text("its owner hasn't named it yet")
    assert scratch.clear() == []
    assert len(list(temporary.iterdir())) == 3


def test_removing_twice_is_removing_once() -> None:
    ours = Scratch()
    ours.remove()
    ours.remove()
    assert not ours.path.exists()
