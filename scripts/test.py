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

FAST = ("tests/unit", "-m", "not exhaustive")
ALL = ("tests",)


def test(everything: bool, options: Sequence[str]) -> int:
    """The exit status of the first check that fails, else pytest's."""
    for check in CHECKS:
        status = subprocess.run([sys.executable, "-m", *check], cwd=ROOT, check=False).returncode
        if status:
            return status
    command = [sys.executable, "-m", "pytest", *arguments(everything, options)]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def arguments(everything: bool, options: Sequence[str]) -> list[str]:
    """pytest's: the fast tests or all of them, unless the options name files or folders themselves."""
    named = any((ROOT / option.partition("::")[0]).exists() for option in options)
    chosen = () if named else ALL if everything else FAST
    return [*chosen, *options]
