"""Spans of requests, as a receiver of OpenTelemetry reads them; a real Envoy before a fake TorchServe."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import config
from scripts.gateway.envoy import Gateway
from tests.server.fake_torchserve import message
from tests.server.gatewayed import Gatewayed, eventually
from tests.server.otlp_receiver import OtlpReceiver, Span

pytestmark = pytest.mark.server

TRACE, PARENT = "ab" * 16, "cd" * 8


@pytest.fixture(scope="module")
def receiver() -> Iterator[OtlpReceiver]:
    receiver = OtlpReceiver()
    receiver.start()
    yield receiver
    receiver.stop()


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory, receiver: OtlpReceiver) -> Iterator[Gatewayed]:
    folder = tmp_path_factory.mktemp("traced")
    gatewayed = Gatewayed(folder)
    gatewayed.config = config.given(gatewayed.config, {"gateway_tracing": receiver.url})
    gatewayed.gateway = Gateway(gatewayed.config, folder / "logs")
    try:
        gatewayed.start()
        yield gatewayed
    finally:
        gatewayed.stop()


def arrived(receiver: OtlpReceiver, request_id: str, spans: int = 1) -> list[Span]:
    """The spans of one request, the outermost first: Envoy sends them after five seconds."""

    def found() -> list[Span]:
        ours = [span for span in receiver.spans if span.tags["request_id"] == request_id]
        return sorted(ours, key=lambda span: span.tags.get("upstream_cluster") != "whole") * (
            len(ours) == spans
        )

    ours: list[Span] = eventually(found, 20)
    return ours


def test_each_request_has_its_span_and_keeps_its_id(traced: Gatewayed, receiver: OtlpReceiver) -> None:
    given = str(uuid.uuid4())
    response = traced.post("/predictions/cat/2.0", headers={"x-request-id": given})
    assert response.headers["x-request-id"] == given
    (span,) = arrived(receiver, given)
    assert (span.service, span.name, span.parent_id) == ("pthserve", "cat", "")
    told = {key: span.tags[key] for key in ("model", "version", "status", "request_id")}
    assert told == {"model": "cat", "version": "2.0", "status": "200", "request_id": given}


def test_a_callers_trace_goes_on_to_torchserve(traced: Gatewayed, receiver: OtlpReceiver) -> None:
    given = uuid.uuid4().hex
    traced.fake.forget()
    traced.post("/predictions/dog", headers={"x-request-id": given, "traceparent": f"00-{TRACE}-{PARENT}-01"})
    (span,) = arrived(receiver, given)
    assert (span.trace_id, span.parent_id) == (TRACE, PARENT)
    (seen,) = traced.fake.seen
    assert seen.headers["traceparent"] == f"00-{TRACE}-{span.span_id}-01"


@pytest.mark.parametrize("by", ["rest", "grpc"])
def test_what_is_read_whole_has_a_span_for_that_and_one_within(
    traced: Gatewayed, receiver: OtlpReceiver, by: str
) -> None:
    given = uuid.uuid4().hex
    if by == "rest":
        assert traced.post("/predictions/dog", b"x" * 100_000, headers={"x-request-id": given}).ok
    else:
        assert traced.call(message("dog"), metadata=(("x-request-id", given),))[0]
    outer, inner = arrived(receiver, given, 2)
    assert (inner.name, inner.tags["model"], inner.tags["version"]) == ("dog", "dog", "1.0")
    assert (inner.parent_id, inner.trace_id) == (outer.span_id, outer.trace_id)
    assert outer.tags["version"] == "1.0"
    assert outer.name == ("dog" if by == "rest" else "POST")  # which model is in the message


@pytest.mark.parametrize("size", [1, 100_000])
@pytest.mark.parametrize("path", ["/predictions/cow", "/predictions/cow/1.0", "/v1/models/cow:predict"])
def test_callers_cant_invent_names_of_spans(
    traced: Gatewayed, receiver: OtlpReceiver, path: str, size: int
) -> None:
    given = uuid.uuid4().hex
    assert traced.post(path, b"x" * size, headers={"x-request-id": given}).status_code == 404
    for span in arrived(receiver, given, 1 if size == 1 else 2):
        assert (span.name, span.tags["status"]) == ("POST", "404")
        assert "model" not in span.tags


def test_nothing_waits_for_a_receiver_that_is_gone(tmp_path: Path) -> None:
    gone = OtlpReceiver()
    gatewayed = Gatewayed(tmp_path)
    gatewayed.config = config.given(gatewayed.config, {"gateway_tracing": gone.url})
    gatewayed.gateway = Gateway(gatewayed.config, tmp_path / "logs")
    gone.close()
    try:
        gatewayed.start()
        assert max(gatewayed.post("/predictions/cat").elapsed.total_seconds() for _ in range(50)) < 1
    finally:
        gatewayed.stop()
