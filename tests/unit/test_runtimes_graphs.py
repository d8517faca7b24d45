"""CUDA graphs: batches are padded up, each size captured once; what comes out is the same."""

from __future__ import annotations

import torch

from handlers.runtimes import graphs
from handlers.runtimes.graphs import Graphs, Step


def doubled(batch: torch.Tensor) -> torch.Tensor:
    return batch * 2


class Capturing:
    """Stands in for the capture: what was captured, and what was replayed with."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.given: list[torch.Tensor] = []

    def __call__(self, step: Step, example: torch.Tensor) -> Step:
        self.shapes.append(tuple(example.shape))

        def replay(batch: torch.Tensor) -> torch.Tensor:
            assert batch.shape == example.shape
            self.given.append(batch)
            return step(batch)

        return replay


def test_batches_are_padded_to_powers_of_two_each_captured_once() -> None:
    capturing = Capturing()
    run = Graphs(doubled, capturing)
    for items in (1, 2, 3, 4, 5, 8, 3, 7):
        batch = torch.randn(items, 3)
        assert torch.equal(run(batch), batch * 2)
    assert capturing.shapes == [(1, 3), (2, 3), (4, 3), (8, 3)]
    assert capturing.given[-1][7].tolist() == [0, 0, 0]


def test_other_items_are_other_graphs_and_their_number_is_bounded() -> None:
    capturing = Capturing()
    run = Graphs(doubled, capturing)
    for width in range(1, graphs.MOST + 5):
        batch = torch.randn(2, width)
        assert torch.equal(run(batch), batch * 2)
    run(torch.ones(2, 1, dtype=torch.int64))
    assert len(capturing.shapes) == graphs.MOST


def test_an_output_that_is_not_by_items_is_left_to_the_handler_to_refuse() -> None:
    run = Graphs(lambda batch: batch.sum(0, keepdim=True), Capturing())
    batch = torch.ones(3, 2)
    assert run(batch).tolist() == [[3, 3]]
