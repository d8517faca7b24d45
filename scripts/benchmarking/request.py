"""Which request a benchmark sends: a file, and what the model makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from msgspec import Struct

from handlers import wire
from handlers.errors import Refusal
from handlers.wire import EncodedImage, Row
from scripts.catalog import Entry
from scripts.errors import CommandError
from scripts.places import shown

Kind = Literal["image", "numbers"]


class Sent(Struct, frozen=True):
    """The request that all contestants get."""

    file: Path
    kind: Kind
    items: int = 1


def of(entry: Entry, given: Path | None) -> Sent:
    """The file that was given, else the first sample's input; raises CommandError for what isn't readable."""
    samples = entry.recipe.handler.samples
    if given is None and not samples:
        raise CommandError(f"{entry.name} has no samples", hint="give a request: --input FILE")
    file = given if given is not None else entry.folder / samples[0].input
    try:
        row = Row({"body": bytearray(file.read_bytes())})
    except OSError as error:
        raise CommandError(f"{shown(file)}: {error.strerror}", hint="give a file: --input FILE") from None
    try:
        items = wire.read(row, entry.recipe.handler).items
    except Refusal as error:
        raise CommandError(
            f"{shown(file)}: {entry.name} can't read it ({error})", hint="give another: --input FILE"
        ) from None
    return Sent(file.resolve(), "image" if isinstance(items[0], EncodedImage) else "numbers", len(items))
