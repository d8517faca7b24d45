"""What exporter.py tells the command that started it."""

from __future__ import annotations

from msgspec import Struct

from scripts.exporting.parity import Parity


class Written(Struct, frozen=True, tag="written"):
    """The folder is whole, if the report's answers passed."""

    parity: Parity


class Refused(Struct, frozen=True, tag="refused"):
    """An expected error, told as it was."""

    message: str
    hint: str
