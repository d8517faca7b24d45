"""What an exported file is held against eager with: the samples, and seeded random inputs like them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from msgspec import Struct

from handlers import golden
from handlers.handler import Handler
from handlers.wire import Item
from scripts.optimising.drawing import made

RANDOM = 6
"""How many are drawn of each kind that the recipe takes."""


class Input(Struct, frozen=True):
    """One item, by the name under which the report tells of it."""

    name: str
    item: Item
    prepared: torch.Tensor
    """What enters the network, without the batch dimension."""


def given(handler: Handler, folder: Path) -> list[Input]:
    """The samples, then the random ones, the same in each run.

    Raises BadRecipe or BadInput for a sample that isn't one item, or can't be prepared.
    """
    samples = []
    for sample in handler.recipe.handler.samples:
        item = golden.request(handler.recipe, folder, sample).items[0]
        samples.append(Input(sample.input, item, _prepared(handler, item)))
    return [*samples, *_random(handler, [one.item for one in samples])]


def _prepared(handler: Handler, item: Item) -> torch.Tensor:
    return handler.task.prepare(item).contiguous()


def _random(handler: Handler, items: list[Item]) -> Iterator[Input]:
    """Those that the model takes and answers with finite numbers: what is made may be no valid input."""
    for index, item in enumerate(made(handler, items, RANDOM, np.random.default_rng(0)), 1):
        try:
            prepared = _prepared(handler, item)
            output = handler.forward(prepared[None])
        except Exception:  # whatever the owner's own preparation and network do with noise
            continue
        if output.isfinite().all():
            yield Input(f"random {index}", item, prepared)
