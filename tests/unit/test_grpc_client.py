"""The gRPC client against a real gRPC server, which says what TorchServe and the gateway can say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from scripts.calling import stubs
from scripts.calling.grpc_client import Grpc
from scripts.calling.refused import NoServer, Refused
from scripts.errors import CommandError
from tests.unit.test_refused import BODY

Answer = Callable[[Any, Any], bytes]


class Service:
    """Answers as the test says."""

    answer: Answer = staticmethod(lambda request, context: b"{}")

    def __init__(self) -> None:
        found = stubs.load()
        service = self

        class Servicer(found.services.InferenceAPIsServiceServicer):  # type: ignore[name-defined, misc]
            def Predictions(self, request: Any, context: Any) -> Any:  # noqa: N802
                return found.messages.PredictionResponse(prediction=service.answer(request, context))

        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self.server = grpc.server(ThreadPoolExecutor(2), options=options)
        found.services.add_InferenceAPIsServiceServicer_to_server(Servicer(), self.server)
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.server.stop(None).wait()


def refuse(code: grpc.StatusCode, details: str, *metadata: tuple[str, str]) -> Answer:
    def answer(request: Any, context: Any) -> bytes:
        context.set_trailing_metadata(metadata)
        context.abort(code, details)
        raise AssertionError

    return answer


def refusal(service: Service, answer: Answer) -> Refused:
    service.answer = answer
    with pytest.raises(Refused) as caught:
        Grpc(service.url).predict("cat", b"body")
    return caught.value


def test_an_answer_comes_back_as_it_is(service: Service) -> None:
    seen: list[Any] = []

    def answer(request: Any, context: Any) -> bytes:
        seen.append((request, dict(context.invocation_metadata())))
        return b'{"values":[1.5]}'

    service.answer = answer
    client = Grpc(f"127.0.0.1:{service.port}")
    assert client.predict("cat", b"body", version="1.1", request_id="abc") == b'{"values":[1.5]}'
    ((request, metadata),) = seen
    assert (request.model_name, request.model_version, dict(request.input)) == (
        "cat",
        "1.1",
        {"data": b"body"},
    )
    assert metadata["x-request-id"] == "abc"
    client.close()


def test_messages_of_20_mb_pass_both_ways(service: Service) -> None:
    service.answer = lambda request, context: request.input["data"]
    body = bytes(21_000_000)
    assert Grpc(service.url).predict("cat", body) == body


def test_an_error_in_the_bytes_is_raised(service: Service) -> None:
    error = refusal(service, lambda request, context: BODY)
    assert (error.code, error.message, error.hint, error.request_id) == (
        "bad_image",
        "no picture",
        "send one",
        "abc",
    )


def test_an_unknown_model_is_404_whatever_torchserve_calls_it(service: Service) -> None:
    details = "Model not found: cat\norg.pytorch.serve.archive.model.ModelNotFoundException"
    error = refusal(service, refuse(grpc.StatusCode.INTERNAL, details))
    assert error.status == 404
    assert error.message == "Model not found: cat"
    assert "pthserve list" in error.hint
    assert refusal(service, refuse(grpc.StatusCode.NOT_FOUND, "gone")).status == 404


def test_a_server_that_asks_for_patience_is_no_absent_one(service: Service) -> None:
    error = refusal(service, refuse(grpc.StatusCode.UNAVAILABLE, "loading", ("retry-after", "3")))
    assert (error.status, error.retry_after) == (503, 3.0)


def test_the_gateway_s_error_body_in_the_details_is_read(service: Service) -> None:
    error = refusal(service, refuse(grpc.StatusCode.UNAVAILABLE, BODY.decode()))
    assert (error.status, error.code, error.request_id) == (503, "bad_image", "abc")


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (grpc.StatusCode.DEADLINE_EXCEEDED, 504),
        (grpc.StatusCode.UNIMPLEMENTED, 404),
        (grpc.StatusCode.UNKNOWN, 500),
        (grpc.StatusCode.INTERNAL, 500),
    ],
)
def test_other_statuses_become_those_of_http(service: Service, code: grpc.StatusCode, status: int) -> None:
    assert refusal(service, refuse(code, "")).status == status


def test_a_deadline_that_passes_here_is_504(service: Service) -> None:
    service.answer = lambda request, context: context.add_callback(lambda: None) and _until_cancelled(context)
    with pytest.raises(Refused) as caught:
        Grpc(service.url, timeout=0.2).predict("cat", b"")
    assert caught.value.status == 504


def _until_cancelled(context: Any) -> bytes:
    import threading

    gone = threading.Event()
    if context.add_callback(gone.set):
        gone.wait(10)
    return b""


def test_where_nobody_listens_the_remedy_is_told(service: Service) -> None:
    service.server.stop(None).wait()
    with pytest.raises(NoServer, match="pthserve up"):
        Grpc(service.url).predict("cat", b"body")


@pytest.mark.parametrize("address", ["ftp://x", "http://", "http://x:port"])
def test_what_is_no_address_is_told(address: str) -> None:
    with pytest.raises(CommandError, match="is no address"):
        Grpc(address)
