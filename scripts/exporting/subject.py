"""The model of an export, opened as eager float32, with the inputs that its file is compared on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import torch
from msgspec import Struct

from handlers import golden
from handlers.errors import BadRecipe
from handlers.handler import Handler
from handlers.network import open_network
from handlers.runtimes import Material
from scripts.exporting import inputs
from scripts.exporting.inputs import Input

SMALLEST = 2
"""Items of the batch that is traced, at the least: with one, tools take its dimension for a constant."""


class Subject(Struct, frozen=True):
    """The samples stand first among the inputs."""

    handler: Handler
    given: list[Input]

    @property
    def batch_size(self) -> int:
        return max(SMALLEST, self.handler.recipe.batch_size)

    @property
    def any_size(self) -> bool:
        """Whether height and width vary."""
        image = self.handler.recipe.handler.image_input()
        return image is not None and image.any_size and self.given[0].prepared.dim() == 3


def opened(source: Path) -> Subject:
    """Raises BadRecipe, BadCheckpoint, or BadInput for a sample that can't be prepared."""
    handler = Handler.open(source, reference=True)
    given = inputs.given(handler, source)
    if not given:
        raise BadRecipe(
            f"nothing is known that {handler.recipe.handler.name} answers", hint="give it a sample"
        )
    return Subject(handler, given)


def material(subject: Subject, source: Path) -> Material:
    """What a runtime builds from: the network, and a full batch of inputs of one shape."""
    network = open_network(subject.handler.recipe.handler, source, torch.device("cpu"))
    prepared = [one.prepared for one in subject.given]
    alike = itertools.cycle(one for one in prepared if one.shape == prepared[0].shape)
    batch = torch.stack(list(itertools.islice(alike, subject.batch_size)))
    return Material(network, batch, (0, 2, 3) if subject.any_size else (0,))


def groups(subject: Subject, *, one_by_one: bool) -> Iterator[list[Input]]:
    """What is answered together, of one shape each.

    With `one_by_one` each is alone, and those of another shape than the first, for which such a file isn't
    made, are left out.
    """
    shapes: dict[tuple[int, ...], list[Input]] = {}
    for one in subject.given:
        shapes.setdefault(tuple(one.prepared.shape), []).append(one)
    for alike in itertools.islice(shapes.values(), 1 if one_by_one else None):
        for group in golden.together(len(alike), 1 if one_by_one else subject.batch_size):
            yield [alike[index] for index in group]
