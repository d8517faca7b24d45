"""`scripts/pthserve test`: which tests the words behind it choose."""

from __future__ import annotations

import pytest

from scripts.test import arguments


@pytest.mark.parametrize(
    ("everything", "options", "expected"),
    [
        (False, [], ["tests/unit", "-m", "not exhaustive"]),
        (True, [], ["tests"]),
        (False, ["-k", "base64"], ["tests/unit", "-m", "not exhaustive", "-k", "base64"]),
        (False, ["tests/server/test_up.py", "-x"], ["tests/server/test_up.py", "-x"]),
        (
            True,
            ["tests/unit/test_wire.py::test_no_body_is_refused"],
            ["tests/unit/test_wire.py::test_no_body_is_refused"],
        ),
    ],
)
def test_words_that_name_tests_choose_them(everything: bool, options: list[str], expected: list[str]) -> None:
    assert arguments(everything, options) == expected
