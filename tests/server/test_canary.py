"""A canary answers its share of those who name no version, by every protocol, and no one else."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from scripts.gateway.routing import Canary, Routing
from tests.server.fake_torchserve import fields, message
from tests.server.gatewayed import Gatewayed, routing

pytestmark = pytest.mark.server

SENT = 500
SHARE = 20.0  # percent
EXPECTED = SENT * SHARE / 100
SPREAD = 5 * math.sqrt(EXPECTED * (1 - SHARE / 100))
"""Five standard deviations of the binomial distribution each way: wrong once in two million runs."""


def split(percent: float, **more: object) -> Routing:
    """`cat` with 2.0 as the canary beside 1.0."""
    plain = routing(**more)  # type: ignore[arg-type]
    model = replace(plain.models["cat"], canary=Canary("2.0", percent))
    return replace(plain, models={**plain.models, "cat": model})


@pytest.fixture
def canary(gatewayed: Gatewayed) -> Iterator[Gatewayed]:
    gatewayed.gateway.publish(split(SHARE))
    yield gatewayed
    gatewayed.gateway.publish(routing())


@pytest.mark.parametrize("path", ["/predictions/cat", "/v1/models/cat:predict", "/v2/models/cat/infer"])
def test_its_share_of_requests_by_rest_is_told_by_the_version(canary: Gatewayed, path: str) -> None:
    found = Counter(canary.post(path).headers["x-model-version"] for _ in range(SENT))
    print(f"{path}: {dict(found)}")
    assert found.keys() == {"1.0", "2.0"}
    assert abs(found["2.0"] - EXPECTED) < SPREAD
    assert Counter(seen.version for seen in canary.fake.seen) == found, "each by the version that it names"


def test_its_share_of_large_requests_which_are_read_whole_first(canary: Gatewayed) -> None:
    body = b"x" * 2**17
    found = Counter(canary.post("/predictions/cat", body).headers["x-model-version"] for _ in range(SENT))
    assert abs(found["2.0"] - EXPECTED) < SPREAD


def test_its_share_of_requests_by_grpc(canary: Gatewayed) -> None:
    with canary.channel() as channel:
        predict = channel.unary_unary("/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions")
        calls = [predict.with_call(message("cat"), timeout=10) for _ in range(SENT)]
    told = Counter(dict(call.initial_metadata())["x-model-version"] for _, call in calls)
    asked = Counter(dict(fields(answer))[1].decode().partition("/")[2] for answer, _ in calls)
    assert abs(told["2.0"] - EXPECTED) < SPREAD
    assert told == asked, "what answered is what is said to have answered"


def test_who_names_a_version_gets_it(canary: Gatewayed) -> None:
    for version in ("1.0", "2.0"):
        found = {canary.post(f"/predictions/cat/{version}").headers["x-model-version"] for _ in range(50)}
        assert found == {version}
    assert {canary.post("/predictions/dog").headers["x-model-version"] for _ in range(50)} == {"1.0"}


def test_the_share_changes_and_ends_without_a_refusal(gatewayed: Gatewayed) -> None:
    shares = []
    try:
        for percent in (50.0, 99.0, 0.0):
            gatewayed.gateway.publish(split(percent) if percent else routing())
            answers = [gatewayed.post("/predictions/cat") for _ in range(200)]
            assert {answer.status_code for answer in answers} == {200}
            shares.append(sum(answer.headers["x-model-version"] == "2.0" for answer in answers) / 200)
    finally:
        gatewayed.gateway.publish(routing())
    assert 0.3 < shares[0] < 0.7
    assert shares[1] > 0.9
    assert shares[2] == 0


@pytest.mark.parametrize(
    "why", [{"unready": {"2.0": "is recovering"}}, {"leaving": ("2.0",), "versions": ("1.0",)}]
)
def test_a_canary_that_cant_answer_leaves_all_to_the_default(
    gatewayed: Gatewayed, why: dict[str, object]
) -> None:
    gatewayed.gateway.publish(split(99.0, **why))
    try:
        found = [gatewayed.post("/predictions/cat") for _ in range(50)]
    finally:
        gatewayed.gateway.publish(routing())
    assert {answer.headers.get("x-model-version") for answer in found} == {"1.0"}
