"""Programs that a command starts: a bare environment, and none outlives `stop`."""

from __future__ import annotations

import sys
import threading
import time

import psutil
import pytest

from scripts.errors import CommandError
from scripts.processes.children import Children, bare_environment

FOREVER = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"


def test_output_and_status_come_back() -> None:
    done = Children().run([sys.executable, "-c", "import sys; print('out'); sys.exit('err')"])
    assert (done.returncode, done.stdout, done.stderr) == (1, "out\n", "err\n")


def test_a_bare_environment_has_no_pythonpath(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    assert "PYTHONPATH" not in bare_environment()
    assert bare_environment(EXTRA="1")["EXTRA"] == "1"


def test_stop_ends_what_runs_with_its_own_children_and_starts_no_more() -> None:
    children, failures = Children(), []
    me = psutil.Process()
    before = set(me.children(recursive=True))

    def run() -> None:
        try:
            children.run([sys.executable, "-c", FOREVER])
        except CommandError as error:
            failures.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    deadline = time.monotonic() + 20
    while len(family := set(me.children(recursive=True)) - before) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    children.stop()
    thread.join(10)
    assert failures == ["stopped"]
    assert psutil.wait_procs(family, timeout=5)[1] == []
    with pytest.raises(CommandError, match="stopped"):
        children.run([sys.executable, "-c", "pass"])
