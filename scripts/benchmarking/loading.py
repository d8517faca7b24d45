"""One round of load by the HTTP client, in a process of its own."""

from __future__ import annotations

import sys

import msgspec

from scripts.benchmarking.figures import Round
from scripts.benchmarking.target import Load
from scripts.calling import credentials
from scripts.errors import CommandError
from scripts.places import ROOT
from scripts.processes.children import Children, bare_environment

CLIENT = "scripts.benchmarking.client"


def round_of(load: Load, children: Children) -> Round:
    """What came back; raises CommandError when the client fails, or `children` were stopped."""
    command = [sys.executable, "-m", CLIENT, msgspec.json.encode(load).decode()]
    done = children.run(
        command, cwd=ROOT, env=bare_environment(OMP_NUM_THREADS="1", **credentials.environment())
    )
    if done.returncode:
        raise CommandError(f"the client of the benchmark failed:\n{done.stderr}")
    return msgspec.json.decode(done.stdout.encode(), type=Round)
