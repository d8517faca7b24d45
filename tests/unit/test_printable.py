"""Text out of a hostile file: one line, no control over the terminal, not too long."""

import pytest

from scripts.inspection.printable import printable


@pytest.mark.parametrize("text", ["layer1.0.conv1.weight", "größe", "猫", "a b", "🐈", ""])
def test_what_is_visible_stays(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x9b2J", r"\x9b2J"),
        ("\x00\x7f", r"\x00\x7f"),
        ("safe\u202egnp", r"safe\u202egnp"),
        ("\ud800", r"\ud800"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
    ],
)
def test_what_steers_a_terminal_is_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_the_middle_of_a_long_text_is_left_out() -> None:
    assert printable("a" * 500 + "z" * 500, 10) == "aaaaa…zzzzz"
    assert printable("a" * 10, 10) == "a" * 10
    assert len(printable("\x1b" * 10**7)) < 80 * len(r"\U00000000")
