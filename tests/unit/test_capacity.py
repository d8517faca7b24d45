"""capacity: a full batch of the samples, prepared, run and answered, as short as it can be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from handlers import capacity
from handlers.handler import Handler
from tests import tiny_models


class Ticks:
    """Each pass of the network takes so long, by the clock that `capacity` reads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *seconds: float) -> None:
        self.now, self.seconds, self.batches = 0.0, iter(seconds), list[int]()
        monkeypatch.setattr(capacity, "perf_counter", lambda: self.now)

    def on(self, handler: Handler) -> None:
        forward = handler.forward

        def timed(batch):  # type: ignore[no-untyped-def]
            self.batches.append(len(batch))
            self.now += next(self.seconds)
            return forward(batch)

        handler.forward = timed  # type: ignore[method-assign]


def opened(folder: Path, samples: int, batch_size: int) -> Handler:
    names = [f"samples/{index}.npy" for index in range(samples)]
    tiny_models.write(
        folder, "return x * self.scale", batch_size=batch_size, samples=[{"input": name} for name in names]
    )
    (folder / "samples").mkdir()
    for index, name in enumerate(names):
        np.save(folder / name, np.full(2, index, np.float32))
    return Handler.open(folder)


@pytest.mark.parametrize(("samples", "batch_size"), [(1, 8), (3, 8), (3, 1)])
def test_the_best_of_three_full_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, samples: int, batch_size: int
) -> None:
    handler, ticks = opened(tmp_path, samples, batch_size), Ticks(monkeypatch, 0.3, 0.1, 0.2)
    ticks.on(handler)
    assert capacity.measured(handler, tmp_path) == pytest.approx(0.1)
    assert ticks.batches == [batch_size] * 3


def test_a_slow_model_is_tried_no_longer_than_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handler, ticks = opened(tmp_path, 1, 4), Ticks(monkeypatch, 0.6, 0.7)
    ticks.on(handler)
    assert capacity.measured(handler, tmp_path) == pytest.approx(0.6)
    assert ticks.batches == [4, 4]


def test_without_samples_nothing_is_measured(tmp_path: Path) -> None:
    tiny_models.write(tmp_path, "return x * self.scale")
    assert capacity.measured(Handler.open(tmp_path), tmp_path) == 0
