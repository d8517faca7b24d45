"""Files are whole whatever happens to their writer, and a lock ends with its holder."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from scripts.places import ROOT
from scripts.state import durable

DIES_AT_EVERY_LINE = """
import os, pathlib, signal, sys
from pathlib import Path
from scripts.state import durable

path, seen = Path(sys.argv[1]), []

def die_at(line):
    count = 0
    def trace(frame, event, argument):
        nonlocal count
        if frame.f_code.co_filename not in (durable.__file__, pathlib.__file__):
            return None
        count += event == "line"
        if count == line:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace
    sys.settrace(trace)
    durable.replace(path, b"new" * 1000)
    os._exit(0)

for line in range(1, 10000):
    path.write_bytes(b"old" * 1000)
    child = os.fork() or die_at(line)
    status = os.waitpid(child, 0)[1]
    content = path.read_bytes()
    assert content in (b"old" * 1000, b"new" * 1000), line
    seen.append(content[:3].decode())
    if not status:
        break
print(len(seen) > 10,  seen[0], seen[-2], seen[-1])
"""

HOLDS = """
import sys, time
from pathlib import Path
from scripts.state import durable
with durable.locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_writer_killed_at_any_line_leaves_the_old_content_or_the_new(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DIES_AT_EVERY_LINE, tmp_path / "file"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("True old new new\n", "")


def test_a_disk_that_fails_leaves_the_old_content_and_nothing_besides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    durable.replace(path, b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("scripts.state.durable.os.fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        durable.replace(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_its_folder_is_made_and_nothing_else_is_left_in_it(tmp_path: Path) -> None:
    durable.replace(tmp_path / "new" / "folder" / "file", b"content", sync=False)
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["file"]


def test_a_lock_excludes_another_process_and_ends_when_its_holder_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLDS, path]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert durable.held(path)
        with durable.locked(path, wait=False) as ours:
            assert not ours
        holder.kill()
        with durable.locked(path) as ours:  # waits until the kernel has given it back
            assert ours


def test_a_lock_that_was_left_can_be_taken_again(tmp_path: Path) -> None:
    path = tmp_path / "commands" / "lock"
    assert not durable.held(path)
    for _ in range(2):
        with durable.locked(path, wait=False) as ours:
            assert ours
            assert durable.held(path)
        assert not durable.held(path)


def test_a_lock_ends_with_an_error_inside_it(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), durable.locked(tmp_path / "lock"):
        raise ZeroDivisionError
    assert not durable.held(tmp_path / "lock")


def test_whoever_only_looks_at_a_lock_keeps_nobody_from_taking_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, taken = tmp_path / "lock", []
    path.touch()
    real = durable.fcntl.flock

    def take() -> None:
        with durable.locked(path, wait=False) as ours:
            taken.append(ours)

    taker = threading.Thread(target=take)

    def look_for_a_while(file: object, operation: int) -> None:
        real(file, operation)  # type: ignore[arg-type]
        monkeypatch.setattr(durable.fcntl, "flock", real)
        taker.start()
        taker.join(durable.LOOK / 4)

    monkeypatch.setattr(durable.fcntl, "flock", look_for_a_while)
    assert not durable.held(path)
    taker.join()
    assert taken == [True]


def test_who_may_only_read_may_look_at_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, real = tmp_path / "lock", Path.open

    def readable(self: Path, mode: str = "r") -> object:
        if mode != "rb":
            raise PermissionError(13, "Permission denied")
        return real(self, mode)

    with durable.locked(path):
        monkeypatch.setattr(Path, "open", readable)
        assert durable.held(path)
