"""Text out of a file, before anybody's terminal sees it."""

from __future__ import annotations

SHORT = 80
"""Characters of a name or a value that are shown."""


def printable(text: str, most: int = SHORT) -> str:
    """The text in one line of at most about `most` characters that can't steer a terminal.

    What is no visible character (control, escape sequences, marks that turn the direction, halves of
    surrogate pairs) is written as Python would escape it; the middle of a longer text is left out.
    """
    if len(text) > most:
        half = most // 2
        text = f"{text[:half]}…{text[-half:]}"
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
