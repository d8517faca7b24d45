"""Programs that a command starts: a bare environment, and none outlives `stop`."""

from __future__ import annotations

import sys
import threading
import time

import psutil
import pytest

from scripts.errors import CommandError
from scripts.places import ROOT
from scripts.processes.children import LONGEST, Children, bare_environment

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


LEAVES = """
import subprocess, sys
left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(left.pid)
"""


def test_what_a_program_leaves_running_is_ended_with_it() -> None:
    done = Children().run([sys.executable, "-c", LEAVES])
    assert done.returncode == 0
    assert _gone(int(done.stdout))


CALLS = f"""
import sys
from scripts.processes.children import Children
Children().run([sys.executable, "-c", {FOREVER!r}])
"""


def test_a_program_does_not_outlive_us_when_we_are_killed() -> None:
    caller = psutil.Popen([sys.executable, "-c", CALLS], cwd=ROOT)
    deadline = time.monotonic() + 20
    while not (family := [one for one in caller.children() if "time.sleep" in " ".join(one.cmdline())]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    caller.kill()
    caller.wait()
    assert _gone(family[0].pid)


def _gone(pid: int) -> bool:
    """Whether the process ends within seconds; one that nobody has waited for is a zombie."""
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_of_very_much_output_the_end_is_kept() -> None:
    done = Children().run([sys.executable, "-c", "print('begin'); print('-' * 3_000_000); print('end')"])
    assert done.stdout.endswith("-\nend\n")
    assert len(done.stdout) == LONGEST
