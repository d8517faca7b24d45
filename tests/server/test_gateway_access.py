"""A key for some models: what it opens beside their predictions, and that nothing is told of the others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from handlers.wire import oip_messages as messages
from scripts.gateway.routing import Caller, Page
from tests.server.fake_torchserve import METHOD, field
from tests.server.gatewayed import Gatewayed, routing

SERVICE = "/inference.GRPCInferenceService"
DOGS = {"x-api-key": "for dogs and no cats"}
JSON = "application/json"

PAGES = {
    "/": Page("text/html", b"page", open=True),
    "/endpoints": Page(JSON, b"[]"),
    **{f"/samples/{name}/1.0/0": Page("image/png", b"x", model=name) for name in ("cat", "dog")},
    **{f"/v2/models/{name}": Page(JSON, b"{}", model=name) for name in ("cat", "dog")},
}
TOLD = {
    f"ModelMetadata/{name}": messages.ModelMetadataResponse(name=name).SerializeToString()
    for name in ("cat", "dog")
}


@pytest.fixture
def guarded(gatewayed: Gatewayed) -> Iterator[Gatewayed]:
    callers = (Caller("all", ("for everything there is",)), Caller("dogs", (DOGS["x-api-key"],), ("dog",)))
    told = replace(routing(unready={"2.0": "is loading"}), pages=PAGES, messages=TOLD, callers=callers)
    gatewayed.gateway.publish(told)
    yield gatewayed
    gatewayed.gateway.publish(routing())


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/predictions/{}"),
        ("POST", "/v1/models/{}:predict"),
        ("POST", "/v2/models/{}/infer"),
        ("GET", "/samples/{}/1.0/0"),
        ("GET", "/v2/models/{}"),
        ("GET", "/v2/models/{}/ready"),
        ("GET", "/v1/models/{}"),
        ("GET", "/ready/{}"),
    ],
)
def test_each_path_to_a_model_asks_for_a_key_to_it(guarded: Gatewayed, method: str, path: str) -> None:
    def asked(name: str, headers: dict[str, str]) -> int:
        url = guarded.url + path.format(name)
        return guarded.session.request(method, url, headers=headers, timeout=10).status_code

    assert asked("dog", DOGS) == 200
    assert asked("cat", DOGS) == 403
    assert asked("cat", {"x-api-key": "for everything there is"}) == 200
    assert asked("dog", {}) == 401


@pytest.mark.parametrize(
    "path", ["/predictions/cat/2.0", "/predictions/cat/9", "/v2/models/cat/versions/9/infer"]
)
def test_nothing_is_told_of_versions_either(guarded: Gatewayed, path: str) -> None:
    answer = guarded.post(path, headers=DOGS)
    assert answer.status_code == 403
    assert "2.0" not in answer.text


def test_what_is_of_all_models_together_is_every_callers(guarded: Gatewayed) -> None:
    assert guarded.get("/").status_code == 200
    assert guarded.get("/endpoints").status_code == 401
    assert guarded.get("/endpoints", headers=DOGS).status_code == 200


def test_metadata_by_grpc(guarded: Gatewayed) -> None:
    key = tuple(DOGS.items())
    for name, status in (("dog", "OK"), ("cat", "PERMISSION_DENIED")):
        asked = messages.ModelMetadataRequest(name=name).SerializeToString()
        _, call = guarded.call(asked, f"{SERVICE}/ModelMetadata", metadata=key)
        assert call.code().name == status


def test_readiness_by_grpc(guarded: Gatewayed) -> None:
    key = tuple(DOGS.items())
    for name, version, status in (
        ("dog", "", "OK"),
        ("cat", "", "PERMISSION_DENIED"),
        ("cat", "1.0", "PERMISSION_DENIED"),
    ):
        asked = messages.ModelReadyRequest(name=name, version=version).SerializeToString()
        _, call = guarded.call(asked, f"{SERVICE}/ModelReady", metadata=key)
        assert call.code().name == status


def test_a_message_means_the_same_here_and_at_torchserve(guarded: Gatewayed) -> None:
    """Java drops the bits of a tag above the 32nd: what follows here would be the model's name there."""
    disguised = b"\x8a\x80\x80\x80\x80\x01" + b"\x03cat"
    message = field(1, b"dog") + field(2, b"1.0") + disguised
    answer, call = guarded.call(message, METHOD, metadata=tuple(DOGS.items()))
    assert (answer, call.code().name) == (None, "INVALID_ARGUMENT")
    assert guarded.fake.messages == []
    overlong = field(1, b"dog") + b"\x8a\x80\x80\x00" + b"\x03cat"  # the same tag 1, written longer
    answer, call = guarded.call(overlong, METHOD, metadata=tuple(DOGS.items()))
    assert (answer, call.code().name) == (None, "PERMISSION_DENIED")
    answer, _ = guarded.call(field(1, b"dog") + field(9, b"later"), METHOD, metadata=tuple(DOGS.items()))
    assert answer is not None
    (arrived,) = guarded.fake.messages
    assert [value for number, value in arrived if number == 1] == [b"dog", b"dog"]  # ours is the last
