"""Twice, five and ten times what a model can answer: it answers as many as ever, the rest are told at once.

Nothing here depends on how fast this machine is, but that a batch of the model takes 50 ms of sleep.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import overload
from tests.server.running import Running, private_places, serving

pytestmark = pytest.mark.server

SHARES = {2.0: 0.90, 5.0: 0.85, 10.0: 0.80}
"""Of its capacity, what a model answers at so many times that."""

SECONDS = 5.0  # of each


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder: Path = tmp_path_factory.mktemp("overload")
    models = overload.make(folder / "models", overload.busy.SLEEPS)
    with serving(private_places(folder, models)) as running:
        yield running


@pytest.fixture(scope="module")
def found(running: Running) -> overload.Overload:
    return overload.measure(running.config.gateway.url, SECONDS, list(SHARES))


def test_what_can_be_answered_is_answered(
    found: overload.Overload, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        print(f"\n{overload.table(found)}")
    for step in found.steps:
        assert step.share >= SHARES[step.factor], step


def test_the_rest_are_refused_in_our_words_and_nobody_hangs(found: overload.Overload) -> None:
    for step in found.steps:
        assert step.refusals > 0, "more came than is let in"
        assert (step.ill_refused, step.lost) == (0, 0), step


def test_who_is_refused_doesnt_wait_for_the_model(found: overload.Overload) -> None:
    """By half of them in each step, by nearly all in one: the slowest may be this machine's."""
    for step in found.steps:
        assert step.refused[0] < step.accepted[0] / 2, step
    assert min(step.refused[1] / step.accepted[0] for step in found.steps) < 0.25


def test_who_is_let_in_waits_no_longer_than_a_few_batches(found: overload.Overload) -> None:
    """By half of them: the slowest may be this machine's."""
    for step in found.steps:
        assert step.accepted[0] < 1000, "64 requests at 50 ms for 8 are 400 ms"


def test_another_model_answers_meanwhile(found: overload.Overload) -> None:
    assert [step.other_failed for step in found.steps] == [0] * len(found.steps)


def test_afterwards_all_is_as_it_was(found: overload.Overload) -> None:
    for step in found.steps:
        assert step.normal_after < overload.WATCHED - 1, step
