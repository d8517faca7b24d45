"""test: linter, formatter, type check, then pytest; stops at the first that fails."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from scripts.places import ROOT

OURS = ("handlers", "scripts", "tests", "benchmarks")
"""What is linted: how a model's owner writes is theirs to choose."""

CHECKS = (
    ("ruff", "check", "--quiet", *OURS),
    ("ruff", "format", "--check", "--quiet", *OURS),
    ("mypy",),
)

UNIT = ("tests/unit", "-n", "logical", "--maxprocesses", "4")
"""Beside each other: each process imports torch, so four are enough."""

FAST = (*UNIT, "-m", "not exhaustive")
REST = ("tests/server", "tests/browser", "tests/docker")
"""One after another: they share a server, a browser, an engine and the cores."""

NOTHING_CHOSEN = 5
"""pytest's exit status when the options leave no test of a part."""


def test(everything: bool, options: Sequence[str]) -> int:
    """The exit status of the first check that fails, else pytest's, of the first part that fails."""
    for check in CHECKS:
        status = subprocess.run([sys.executable, "-m", *check], cwd=ROOT, check=False).returncode
        if status:
            return status
    statuses = [
        subprocess.run([sys.executable, "-m", "pytest", *part], cwd=ROOT, check=False).returncode
        for part in parts(everything, options)
    ]
    failed = [status for status in statuses if status not in (0, NOTHING_CHOSEN)]
    return failed[0] if failed else min(statuses)


def parts(everything: bool, options: Sequence[str]) -> list[list[str]]:
    """pytest's arguments, a run each: the fast tests or all, unless the options name files themselves."""
    if any((ROOT / option.partition("::")[0]).exists() for option in options):
        return [list(options)]
    return [[*chosen, *options] for chosen in ((UNIT, REST) if everything else (FAST,))]
