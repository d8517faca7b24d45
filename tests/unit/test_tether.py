"""A tethered program ends with whoever started it, killed or not."""

from __future__ import annotations

import subprocess
import sys

import psutil

from scripts.places import ROOT
from scripts.processes.tether import tethered

STARTS_ONE_AND_WAITS = """
import subprocess, sys, time
from scripts.processes.tether import tethered
SLEEPS = "print('up', flush=True); import time; time.sleep(60)"
child = subprocess.Popen(tethered([sys.executable, "-c", SLEEPS]))
print(child.pid, flush=True)
time.sleep(60)
"""


def test_a_tethered_program_runs_as_if_it_were_started_directly() -> None:
    done = subprocess.run(
        tethered([sys.executable, "-c", "import sys; print(sys.argv[1:]); sys.exit(3)", "a b", "c"]),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (3, "['a b', 'c']\n")


def test_it_dies_with_a_parent_that_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STARTS_ONE_AND_WAITS], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        lines = {parent.stdout.readline().strip() for _ in range(2)}
        (pid,) = lines - {"up"}
        child = psutil.Process(int(pid))
        parent.kill()
        child.wait(timeout=10)
    assert not child.is_running()
