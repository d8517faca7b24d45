"""What int8 is calibrated on, and agreement is counted over: inputs as callers send them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from msgspec import UNSET

from handlers import wire
from handlers.errors import BadRecipe, Refusal
from handlers.handler import Handler
from handlers.wire import Row

FEWEST = 32
"""Inputs that int8 needs: fewer tell too little of the range of what lies between the layers."""

MOST = 300
"""Inputs that are looked at: NNCF's own subset."""

RANDOM = "random"


def calibration(handler: Handler, folder: Path) -> list[torch.Tensor]:
    """Prepared inputs of the files in handler.calibration, in the order of their names; raises BadRecipe."""
    named = handler.recipe.handler.calibration
    if named is UNSET or named == RANDOM:
        return []
    place = folder / named
    if not place.is_dir():
        raise BadRecipe(
            f"handler.calibration is {named!r}; {place} is no folder",
            hint="name a folder of inputs, or random",
        )
    found: list[torch.Tensor] = []
    for path in sorted(path for path in place.rglob("*") if path.is_file() and path.name[0] != "."):
        found += _prepared(handler, path)
        if len(found) >= MOST:
            break
    return found[:MOST]


def _prepared(handler: Handler, path: Path) -> Iterator[torch.Tensor]:
    """Every item of one file, in whichever form a caller may send it."""
    try:
        request = wire.read(Row({"body": path.read_bytes()}, request_id=path.name), handler.recipe.handler)
        for item in request.items:
            yield handler.task.prepare(item)
    except Refusal as error:
        raise BadRecipe(f"handler.calibration: {path}: {error.message}", hint=error.hint) from None


def require_enough(handler: Handler, count: int) -> None:
    """Raises BadRecipe where int8 is asked for, and there is too little to calibrate it on."""
    model = handler.recipe.handler
    if model.precision == "int8" and model.calibration != RANDOM and count < FEWEST:
        raise BadRecipe(
            f"int8 has {count} inputs to calibrate on (samples and handler.calibration), needs {FEWEST}",
            hint="name a folder of real inputs in handler.calibration; or write `calibration: random`, and "
            "the samples alone show what that costs",
        )
