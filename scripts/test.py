"""test: linter, formatter, type check, then pytest; stops at the first that fails."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from scripts.places import ROOT

OURS = ("handlers", "scripts", "tests")
"""What is linted: how a model's owner writes is theirs to choose."""

CHECKS = (
    ("ruff", "check", "--quiet", *OURS),
    ("ruff", "format", "--check", "--quiet", *OURS),
    ("mypy",),
)

FAST = ("tests/unit",)
ALL = ("tests",)


def test(everything: bool, options: Sequence[str]) -> int:
    """The exit status of the first check that fails, else pytest's."""
    for check in CHECKS:
        status = subprocess.run([sys.executable, "-m", *check], cwd=ROOT, check=False).returncode
        if status:
            return status
    paths = ALL if everything else FAST
    chosen = () if any((ROOT / option.partition("::")[0]).exists() for option in options) else paths
    return subprocess.run(
        [sys.executable, "-m", "pytest", *chosen, *options], cwd=ROOT, check=False
    ).returncode
