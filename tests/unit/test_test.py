"""`scripts/pthserve test`: which tests the words behind it choose."""

from __future__ import annotations

import subprocess

import pytest

from scripts import test as verb

BESIDE = ["-n", "logical", "--maxprocesses", "4"]


@pytest.mark.parametrize(
    ("everything", "options", "expected"),
    [
        (False, [], [["tests/unit", *BESIDE, "-m", "not exhaustive"]]),
        (True, [], [["tests/unit", *BESIDE], ["tests/server", "tests/browser", "tests/docker"]]),
        (False, ["-k", "base64"], [["tests/unit", *BESIDE, "-m", "not exhaustive", "-k", "base64"]]),
        (False, ["tests/server/test_up.py", "-x"], [["tests/server/test_up.py", "-x"]]),
        (True, ["tests/unit/test_wire.py::test_no_body_is"], [["tests/unit/test_wire.py::test_no_body_is"]]),
    ],
)
def test_words_that_name_tests_choose_them(
    everything: bool, options: list[str], expected: list[list[str]]
) -> None:
    assert verb.parts(everything, options) == expected


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ((0, 0), 0),
        ((1, 0), 1),
        ((0, 2), 2),
        ((5, 0), 0),
        ((0, 5), 0),
        ((5, 5), 5),
        ((-9, 0), -9),
        ((5, 1), 1),
    ],
)
def test_every_part_runs_and_the_first_that_fails_decides(
    monkeypatch: pytest.MonkeyPatch, statuses: tuple[int, int], expected: int
) -> None:
    """pytest says 5 where the options leave nothing of a part."""
    left = list(statuses)

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.CompletedProcess(command, left.pop(0) if "pytest" in command else 0)

    monkeypatch.setattr(subprocess, "run", run)
    assert verb.test(everything=True, options=[]) == expected
    assert left == []
