"""limits: as many requests as a version answers in a while, however often that is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from handlers.execution import Execution
from handlers.recipe import Recipe
from scripts import config
from scripts.gateway import xds
from scripts.gateway.routing import ModelRoutes, Route, Routing
from scripts.places import ROOT
from scripts.serving import limits
from tests.states import recipe_of


def recipe(**keys: Any) -> Recipe:
    return msgspec.convert(recipe_of("a", "1.0", **keys), Recipe)


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.serving.limits.cores", lambda: 2)
    monkeypatch.setattr("handlers.cores.cores", lambda: 2)


def measured(seconds: float) -> Execution:
    return Execution("eager", batch_seconds=seconds)


def asked_of(
    of: Recipe, workers: int, execution: Execution | None, wait: float = 0.25, queue: int = 200
) -> int:
    return limits.requests(of, workers, execution, wait=wait, queue=queue)


@pytest.mark.parametrize(
    ("keys", "workers", "seconds", "expected"),
    [
        pytest.param({"batchSize": 8}, 1, 0.05, 64, id="16, and the 40 of a quarter of a second"),
        pytest.param({"batchSize": 8, "workers": 2}, 2, 0.05, 128, id="two workers, each with a core"),
        pytest.param({"batchSize": 1}, 1, 1.0, 3, id="slow: one runs, one waits, and a quarter"),
        pytest.param({"batchSize": 1, "workers": 2}, 2, 10.0, 6, id="slower: the next of each"),
        pytest.param({"batchSize": 8, "workers": 2}, 2, 0.001, 216, id="fast: TorchServe's queue"),
    ],
)
def test_a_limit_is_what_is_answered_soon(
    keys: dict[str, Any], workers: int, seconds: float, expected: int
) -> None:
    assert asked_of(recipe(**keys), workers, measured(seconds)) == expected


def test_workers_beyond_the_cores_add_no_capacity() -> None:
    one_core_each = recipe(batchSize=1, handler={"threads": 1})
    assert limits.capacity(one_core_each, 2, 0.1) == pytest.approx(20)
    assert limits.capacity(one_core_each, 8, 0.1) == pytest.approx(20)


def test_who_may_wait_however_long_is_not_refused() -> None:
    assert asked_of(recipe(batchSize=8), 1, measured(0.05), wait=0) == 0
    assert asked_of(recipe(batchSize=8), 1, measured(0.05), wait=0.1) == 32


def test_nothing_measured_is_no_limit() -> None:
    assert asked_of(recipe(batchSize=8), 1, None) == 0
    assert asked_of(recipe(batchSize=8), 1, Execution("eager")) == 0
    assert asked_of(recipe(batchSize=8), 0, measured(0.05)) == 0


def test_a_queue_that_the_recipe_asks_for_is_had() -> None:
    asked = recipe(batchSize=4, workers=2, jobQueueSize=1000)
    assert asked_of(asked, 2, measured(0.05)) == asked_of(asked, 2, None) == 2 * 4 + 1000


@pytest.mark.parametrize("number", range(1, 300))
def test_rounding_goes_up_by_less_than_half_to_few_values(number: int) -> None:
    found = limits.rounded(number)
    assert number <= found < number * 1.5
    assert len(f"{found:b}".rstrip("0")) <= 2


def test_noise_changes_nothing_as_a_rule() -> None:
    noisy = [asked_of(recipe(batchSize=8), 1, measured(0.05 * (0.95 + n / 100))) for n in range(11)]
    assert set(noisy) == {64}


@pytest.mark.parametrize("size", [20, 5000])
def test_no_more_are_let_in_than_torchserves_own_queue_takes(size: int) -> None:
    shipped = config.load(ROOT / "config.properties")
    queue = config.given(shipped, {"job_queue_size": str(size)}).queue
    most = asked_of(recipe(batchSize=8), 1, measured(0.0001), wait=1, queue=queue)
    assert most == 8 + size


def test_a_versions_clusters_have_its_limit_and_no_others() -> None:
    upstreams = xds.Upstreams(("127.0.0.1", 8080), ("127.0.0.1", 7070), Path("torchserve.lua"))
    cat = ModelRoutes({"1.0": Route(5, limit=24), "2.0": Route(5)}, "1.0")
    found = {
        cluster["name"]: cluster["circuit_breakers"]["thresholds"][0]
        for cluster in xds.clusters(Routing({"cat": cat}, healthy=True, ready=True), upstreams)
    }
    assert {name: one["max_requests"] for name, one in found.items()} == {
        "cat/1.0": 24,
        "cat/1.0/grpc": 24,
        "cat/2.0": xds.MOST,
        "cat/2.0/grpc": xds.MOST,
    }
    assert {one["max_retries"] for one in found.values()} == {xds.MOST}, "Gateway.active counts by these"
