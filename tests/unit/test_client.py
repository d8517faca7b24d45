"""The client for Python callers, both of its kinds, against a server that answers as a test says."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import pickle
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
import torch
import trustme
from msgspec import Struct, field
from PIL import Image

from handlers.answers import Classification, Prediction, Regression, Values
from handlers.handler import Handler
from handlers.wire import Row
from scripts import client as package
from scripts.calling import connection
from scripts.calling.failures import Received, failure, retry_after
from scripts.client import AsyncClient, Client, PredictionError
from scripts.places import ROOT

SEVEN = {"predictions": [{"label": "seven", "index": 7, "score": 0.98}]}


class Seen(Struct, frozen=True):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def array(self) -> Any:
        return np.load(io.BytesIO(self.body), allow_pickle=False)


class Told(Struct, frozen=True):
    body: Any = field(default_factory=lambda: SEVEN)
    status: int = 200
    headers: dict[str, str] = {}
    seconds: float = 0
    """Before the answer, or for a broken one between its bytes."""
    kept: int | None = None
    """Bytes of the body after which the connection ends."""
    dripped: bool = False

    @property
    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else msgspec.json.encode(self.body)


class Gateway:
    """Answers by `answer`, or in turn by what stands in it, of which the last is repeated."""

    def __init__(self, *answers: Told | Callable[[Seen], Told], tls: ssl.SSLContext | None = None) -> None:
        self.answers, self.seen = answers, list[Seen]()
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("content-length", 0))
                headers = {key.lower(): value for key, value in self.headers.items()}
                seen = Seen(self.command, self.path, headers, self.rfile.read(length))
                with gateway.lock:
                    gateway.seen.append(seen)
                    chosen = gateway.answers[min(len(gateway.seen), len(gateway.answers)) - 1]
                self.give(chosen if isinstance(chosen, Told) else chosen(seen))

            def do_GET(self) -> None:
                self.do_POST()

            def give(self, told: Told) -> None:
                if not told.dripped:
                    gateway.stopping.wait(told.seconds)
                self.send_response(told.status)
                for key, value in told.headers.items():
                    self.send_header(key, value)
                self.send_header("content-length", str(len(told.content)))
                self.end_headers()
                for at in range(len(told.content)) if told.dripped else ():
                    gateway.stopping.wait(told.seconds)
                    self.wfile.write(told.content[at : at + 1])
                if not told.dripped:
                    self.wfile.write(told.content[: told.kept])
                self.close_connection = self.close_connection or told.kept is not None

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 64

            def handle_error(self, *_: object) -> None:
                """A client that goes away is what some tests are about."""

        self.lock, self.stopping = threading.Lock(), threading.Event()
        self._server = Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def gateway(*answers: Told | Callable[[Seen], Told], tls: ssl.SSLContext | None = None) -> Iterator[Gateway]:
    opened = Gateway(*answers, tls=tls)
    try:
        yield opened
    finally:
        opened.close()


class Both:
    """One call by either client: `ask("predict", ...)`."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(
        self, url: str, method: str, *args: Any, options: dict[str, Any] | None = None, **more: Any
    ) -> Any:
        if self.kind == "sync":
            with Client(url, **(options or {})) as client:
                return getattr(client, method)(*args, **more)

        async def call() -> Any:
            async with AsyncClient(url, **(options or {})) as client:
                return await getattr(client, method)(*args, **more)

        return asyncio.run(call())


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Both:
    return Both(request.param)


def refusal(status: int, code: str = "some_code", **headers: str) -> Told:
    body = {"error": {"code": code, "message": "what was wrong", "hint": "what to do"}, "request_id": "abc"}
    return Told(body, status, {key.replace("_", "-"): value for key, value in headers.items()})


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


# What is answered


@pytest.mark.parametrize(
    ("told", "answer"),
    [
        (SEVEN, Classification([Prediction("seven", 7, 0.98)])),
        ({"values": [152.3]}, Regression([152.3])),
        ({"values": [1, 2], "names": ["a", "b"]}, Regression([1.0, 2.0], ["a", "b"])),
        ({"output": [[1.5], [2.5]], "shape": [2, 1]}, Values([[1.5], [2.5]], [2, 1])),
        ({"boxes": [[0, 0, 1, 1]]}, {"boxes": [[0, 0, 1, 1]]}),
        ({"values": "of their own kind"}, {"values": "of their own kind"}),
        ({"answers": [{"values": [1.0]}]}, Regression([1.0])),
    ],
)
def test_the_answer_of_each_task_is_its_struct(ask: Both, told: Any, answer: Any) -> None:
    with gateway(Told(told)) as server:
        assert ask(server.url, "predict", "some", b"bytes") == answer


def test_a_prediction_goes_to_its_model_and_version_with_the_key_and_one_id(ask: Both) -> None:
    with gateway(Told()) as server:
        ask(server.url + "/", "predict", "digits", b"\xff\xd8\xff", options={"key": "secret"})
        ask(server.url, "predict", "digits", b"\xff\xd8\xff", version="1.0")
    first, second = server.seen
    assert (first.method, first.path, first.body) == ("POST", "/predictions/digits", b"\xff\xd8\xff")
    assert first.headers["x-api-key"] == "secret"
    assert first.headers["content-type"] == "application/octet-stream"
    assert second.path == "/predictions/digits/1.0"
    assert "x-api-key" not in second.headers
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


def test_a_name_stays_one_part_of_the_path(ask: Both) -> None:
    with gateway(refusal(404)) as server:
        with pytest.raises(package.NotFound):
            ask(server.url, "predict", "../v2?a", b"x")
        with pytest.raises(ValueError, match="name of a model is empty"):
            ask(server.url, "predict", "", b"x")
    assert [seen.path for seen in server.seen] == ["/predictions/..%2Fv2%3Fa"]


# What is sent


def sent(value: object) -> Seen:
    with gateway(Told()) as server, Client(server.url) as client:
        client.predict("some", value)
    return server.seen[0]


def test_a_file_is_sent_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "seven.png"
    path.write_bytes(b"\x89PNG and more")
    assert (
        sent(path).body
        == sent(str(path)).body
        == sent(bytearray(b"\x89PNG and more")).body
        == path.read_bytes()
    )


@pytest.mark.parametrize("content", [b'{"input": [1, 2]}', b"[1, 2]", b" \r\n\t[1, 2]", b'\n{"input": [1]}'])
def test_bytes_that_begin_like_json_are_sent_as_that(content: bytes) -> None:
    seen = sent(content)
    assert (seen.body, seen.headers["content-type"]) == (content, "application/json")


@pytest.mark.parametrize("name", ["sevn.png", "x" * 5000, "a\0b"])
def test_a_text_that_is_no_file_is_named(ask: Both, name: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"the input is the text '.*no such file; give a file's path"):
        ask("http://127.0.0.1:1", "predict", "some", name)


def test_a_file_that_cannot_be_read_is_told_as_that(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        sent(str(tmp_path))


@pytest.mark.parametrize(
    "value",
    [
        np.array([[1.5, 2.5]], dtype=np.float32),
        torch.tensor([[1.5, 2.5]], requires_grad=True),
        np.asfortranarray([[1.5, 2.5]]),
    ],
)
def test_arrays_and_tensors_are_sent_as_npy(value: object) -> None:
    seen = sent(value)
    assert seen.array.tolist() == [[1.5, 2.5]]
    assert seen.headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize(
    ("value", "fields"),
    [
        ([1, 2.5], {"input": [1, 2.5]}),
        (((1, 2), (3, 4)), {"input": [[1, 2], [3, 4]]}),
        ([np.float32(1.5), np.int64(2)], {"input": [1.5, 2]}),
        ([np.array([1, 2]), [3, 4]], {"input": [[1, 2], [3, 4]]}),
        ({"image": {"b64": "eHh4"}}, {"image": {"b64": "eHh4"}}),
    ],
)
def test_lists_and_objects_are_sent_as_json(value: object, fields: Any) -> None:
    seen = sent(value)
    assert (seen.json, seen.headers["content-type"]) == (fields, "application/json")


def test_a_picture_is_sent_as_the_png_of_its_pixels() -> None:
    picture = Image.effect_noise((5, 4), 80)
    assert Image.open(io.BytesIO(sent(picture).body)).tobytes() == picture.tobytes()
    with pytest.raises(TypeError, match=r"can't be written as PNG.*convert it to RGB"):
        sent(picture.convert("CMYK"))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (7, "the input is 7, of int; give a file's path"),
        (None, "the input is None"),
        (np.array(["a"]), "the array holds <U1; give one of numbers"),
        (np.array([object()]), "the array holds object"),
        ([1, object()], "the lists hold <object"),
    ],
)
def test_what_cannot_be_sent_is_told_before_anything_is(ask: Both, value: object, words: str) -> None:
    with gateway(Told()) as server:
        with pytest.raises(TypeError, match=words):
            ask(server.url, "predict", "some", value)
        assert server.seen == []


# Many


def summed(seen: Seen) -> Told:
    """What a model would answer that adds up its numbers, or tells a picture's text."""
    if seen.headers["content-type"] == "application/octet-stream":
        return Told({"answers": [{"values": [float(one.sum())]} for one in seen.array]})
    if "image" in seen.json:
        return Told(
            {"answers": [{"text": base64.b64decode(one["b64"]).decode()} for one in seen.json["image"]]}
        )
    return Told({"answers": [{"values": [sum(one)]} for one in seen.json["input"]]})


@pytest.mark.parametrize(
    "inputs",
    [
        [[i, 1] for i in range(10)],
        [np.array([i, 1]) for i in range(10)],
        np.array([[i, 1] for i in range(10)]),
        [torch.tensor([i, 1]) for i in range(10)],
        [np.array([i, 1]) if i % 2 else [i, 1] for i in range(10)],
        [f'{{"input": [{i}, 1]}}'.encode() for i in range(10)],
        [f'\n {{"input": [{i}, 1]}}'.encode() for i in range(10)],
    ],
)
def test_many_are_sent_in_chunks_and_answered_in_their_order(ask: Both, inputs: Any) -> None:
    with gateway(summed) as server:
        found = ask(server.url, "predict_many", "some", inputs, chunk=4)
    assert found == [Regression([float(i + 1)]) for i in range(10)]
    assert len(server.seen) == 3


def test_many_files_of_arrays_go_together(ask: Both, tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.npy" for i in range(3)]
    for i, path in enumerate(paths):
        np.save(path, np.array([i, 1]))
    with gateway(summed) as server:
        assert ask(server.url, "predict_many", "some", paths) == [
            Regression([float(i + 1)]) for i in range(3)
        ]
    assert server.seen[0].array.shape == (3, 2)


def test_many_pictures_are_sent_as_base64(ask: Both, tmp_path: Path) -> None:
    (tmp_path / "b").write_text("two")
    with gateway(summed) as server:
        found = ask(server.url, "predict_many", "some", [b"one", tmp_path / "b", b"three"], chunk=2)
    assert found == [{"text": text} for text in ("one", "two", "three")]
    assert len(server.seen) == 2


def test_many_may_come_from_a_generator(ask: Both) -> None:
    with gateway(summed) as server:
        assert ask(server.url, "predict_many", "some", ([i] for i in range(3))) == [
            Regression([float(i)]) for i in range(3)
        ]


def test_none_of_many_is_no_request(ask: Both) -> None:
    with gateway(Told()) as server:
        assert ask(server.url, "predict_many", "some", []) == []
        assert server.seen == []


def test_too_many_at_once_are_halved(ask: Both) -> None:
    def at_most_three(seen: Seen) -> Told:
        return summed(seen) if len(seen.json["input"]) <= 3 else refusal(413, "too_many_items")

    with gateway(at_most_three) as server:
        found = ask(server.url, "predict_many", "some", [[i] for i in range(10)])
    assert found == [Regression([float(i)]) for i in range(10)]
    assert [len(seen.json["input"]) for seen in server.seen] == [10, 5, 2, 2, 2, 2, 2]


def test_one_that_is_too_large_is_an_error(ask: Both) -> None:
    with gateway(refusal(413, "image_too_large")) as server:
        with pytest.raises(package.BadRequest, match="inputs 0 to 0: what was wrong"):
            ask(server.url, "predict_many", "some", [b"one", b"two"])
        assert len(server.seen) == 2


def test_bad_ones_of_many_are_named_by_their_index_among_all(ask: Both) -> None:
    bad = {"error": {"code": "bad_items", "message": "1 of 4 items failed: 2", "items": [{"index": 2}]}}

    def third_chunk_fails(seen: Seen) -> Told:
        return Told(bad, 400) if seen.json["input"][0] == [4] else summed(seen)

    with gateway(third_chunk_fails) as server:
        with pytest.raises(package.BadRequest, match=r"inputs 4 to 7: 1 of 4 items failed") as caught:
            ask(server.url, "predict_many", "some", [[i] for i in range(10)], chunk=4)
        assert caught.value.items == ({"index": 6},)
        assert len(server.seen) == 2


@pytest.mark.parametrize(
    ("inputs", "error", "words"),
    [
        (np.array(1.0), TypeError, "inputs is an array of no dimension"),
        ("seven.png", TypeError, "inputs is one str"),
        ({"input": [1]}, TypeError, "inputs is one dict"),
        ([b"one", [1]], TypeError, "input 0 and input 1 are a picture and numbers"),
        ([[1], [2], b"one"], TypeError, "input 0 and input 2"),
        ([1, 2], TypeError, "the input is 1, of int"),
        ([b'{"a": 1}'], ValueError, "one of many is a JSON object of 'a'"),
        ([b"{"], ValueError, "truncated"),
    ],
)
def test_many_of_no_use_are_told_before_anything_is_sent(
    ask: Both, inputs: Any, error: type[Exception], words: str
) -> None:
    with gateway(Told()) as server:
        with pytest.raises(error, match=words):
            ask(server.url, "predict_many", "some", inputs)
        assert server.seen == []


def test_many_items_in_one_input_are_told(ask: Both) -> None:
    with (
        gateway(summed) as server,
        pytest.raises(ValueError, match="holds 2 items; give them to predict_many"),
    ):
        ask(server.url, "predict", "some", [[1], [2]])


def test_another_number_of_answers_than_of_items_is_an_error(ask: Both) -> None:
    with (
        gateway(Told({"answers": [{"values": [1.0]}]})) as server,
        pytest.raises(PredictionError, match="holds no list of 2 answers") as caught,
    ):
        ask(server.url, "predict_many", "some", [[1], [2]])
    assert caught.value.code == "unreadable_answer"


# Of models that are here


def served(name: str) -> Callable[[Seen], Told]:
    handler = Handler.open(ROOT / "models" / name)

    def answer(seen: Seen) -> Told:
        (response,) = handler.predict([Row({"body": seen.body}, seen.headers)])
        return Told(response.body, response.status)

    return answer


def test_every_form_of_a_picture_is_answered_alike(ask: Both) -> None:
    path = ROOT / "models" / "digits_cnn" / "samples" / "seven.png"
    other = path.with_name("three.png")
    with gateway(served("digits_cnn")) as server, Image.open(path) as picture:
        found = [ask(server.url, "predict", "digits_cnn", one) for one in (path, path.read_bytes(), picture)]
        several = ask(server.url, "predict_many", "digits_cnn", [path, other, picture] * 25)
        with pytest.raises(package.BadRequest) as caught:
            ask(server.url, "predict_many", "digits_cnn", [path] * 65 + [b"no picture"])
    assert found[0].predictions[0].label == several[0].predictions[0].label == "seven"
    assert found[0] == found[1] == found[2]
    labels = [one.predictions[0].label for one in several]
    assert labels == ["seven", "three", "seven"] * 25
    assert len(server.seen) == 3 + 2 + 2
    assert [item["index"] for item in caught.value.items] == [65]


def test_every_form_of_numbers_is_answered_alike(ask: Both) -> None:
    numbers = json.loads((ROOT / "models" / "diabetes" / "samples" / "patient1.json").read_text())["input"]
    array = np.array(numbers, dtype=np.float32)
    forms = (numbers, array, array.astype(np.float64), torch.from_numpy(array), {"input": numbers})
    with gateway(served("diabetes")) as server:
        found = [ask(server.url, "predict", "diabetes", form) for form in forms]
        several = ask(server.url, "predict_many", "diabetes", np.stack([array] * 70))
        with pytest.raises(package.BadRequest, match="shape") as caught:
            ask(server.url, "predict", "diabetes", numbers[:3])
    assert isinstance(found[0], Regression)
    for one in (*found, *several):
        assert one.values == pytest.approx(found[0].values, rel=1e-5)
    assert len(several) == 70
    assert caught.value.code == "wrong_shape"


# What else is asked


def test_ready_endpoints_and_metadata(ask: Both) -> None:
    def answer(seen: Seen) -> Told:
        known = {
            "/ready": Told({"ready": True}),
            "/ready/some": Told({"ready": True}),
            "/ready/loading": refusal(503, "not_ready", retry_after="5"),
            "/endpoints": Told({"endpoints": [{"name": "some"}]}),
            "/v2/models/some": Told({"name": "some", "inputs": []}),
            "/v2/models/some/versions/1.0": Told({"name": "some", "versions": ["1.0"]}),
        }
        return known.get(seen.path, refusal(404))

    with gateway(answer) as server:
        assert ask(server.url, "ready") is True
        assert ask(server.url, "ready", "some") is True
        assert ask(server.url, "ready", "loading") is False
        assert ask(server.url, "endpoints") == [{"name": "some"}]
        assert ask(server.url, "metadata", "some") == {"name": "some", "inputs": []}
        assert ask(server.url, "metadata", "some", "1.0") == {"name": "some", "versions": ["1.0"]}
        with pytest.raises(package.NotFound):
            ask(server.url, "ready", "nothing")
        assert {seen.method for seen in server.seen} == {"GET"}
        assert len(server.seen) == 7


def test_another_servers_page_is_no_answer(ask: Both) -> None:
    with gateway(Told(b"<html>Welcome to\n nginx</html>")) as server:
        for method, args in (("predict", ("some", b"x")), ("endpoints", ()), ("metadata", ("some",))):
            with pytest.raises(PredictionError, match="is no JSON object: <html>Welcome to nginx"):
                ask(server.url, method, *args)


# Errors


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, package.BadRequest),
        (401, package.Unauthorized),
        (403, package.Forbidden),
        (404, package.NotFound),
        (413, package.BadRequest),
        (429, package.Overloaded),
        (500, package.ServerFailed),
        (503, package.ServerFailed),
        (504, package.ServerFailed),
    ],
)
def test_a_refusal_is_told_whole_and_not_asked_again(
    ask: Both, status: int, kind: type[PredictionError]
) -> None:
    with gateway(refusal(status), Told()) as server:
        with pytest.raises(kind) as caught:
            ask(server.url, "predict", "some", b"x")
        assert len(server.seen) == 1
    error = caught.value
    assert type(error) is kind
    assert (error.code, error.message, error.hint) == ("some_code", "what was wrong", "what to do")
    assert (error.status, error.request_id, error.retry_after) == (status, "abc", None)
    assert str(error) == "what was wrong; what to do (request id abc)"
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.status, type(again)) == (str(error), status, kind)


@pytest.mark.parametrize(
    ("body", "status", "message", "code"),
    [
        (b'{"error": "shape is wrong", "code": "wrong_shape"}', 400, "shape is wrong", "wrong_shape"),
        (
            b'{"code": 404, "type": "ModelNotFoundException", "message": "Model not found: x"}',
            404,
            "Model not found: x",
            "not_found",
        ),
        (
            b"<html>bad\n gateway</html>",
            502,
            "502 Bad Gateway and says: <html>bad gateway</html>",
            "server_failed",
        ),
        (b"", 500, "500 Internal Server Error and says: nothing", "server_failed"),
        (b"[1]", 418, "and says: [1]", "bad_request"),
        (b"\xff\xfe", 599, "the server answers 599 and says", "server_failed"),
        (
            b'{"error": {"code": 1, "message": null, "items": 7}}',
            400,
            "400 Bad Request and says: {",
            "bad_request",
        ),
    ],
)
def test_what_is_no_error_body_of_ours_is_told_too(body: bytes, status: int, message: str, code: str) -> None:
    error = failure(Received(status, {}, body), "mine")
    assert message in error.message
    assert (error.code, error.status, error.request_id, error.items) == (code, status, "mine", ())


def test_a_redirect_is_told_and_not_followed(ask: Both) -> None:
    with gateway(Told(b"", 302, {"location": "https://login.example/"})) as server:
        with pytest.raises(PredictionError, match=r"302 Found and points to https://login.example/"):
            ask(server.url, "predict", "some", b"x", options={"key": "secret"})
        assert len(server.seen) == 1


# Trying again


@pytest.mark.parametrize(("status", "code"), [(429, "rate_limited"), (503, "overloaded")])
def test_retry_after_is_obeyed_with_the_same_id(ask: Both, status: int, code: str) -> None:
    with gateway(refusal(status, code, retry_after="1"), Told()) as server:
        begun = time.monotonic()
        assert ask(server.url, "predict", "some", b"x") == msgspec.convert(SEVEN, Classification)
        assert 1 <= time.monotonic() - begun < 4
    assert len(server.seen) == 2
    assert len({seen.headers["x-request-id"] for seen in server.seen}) == 1
    assert [seen.body for seen in server.seen] == [b"x", b"x"]


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_retries_are_counted(ask: Both, retries: int) -> None:
    with gateway(refusal(503, "overloaded", retry_after="0")) as server:
        with pytest.raises(package.Overloaded) as caught:
            ask(server.url, "predict", "some", b"x", options={"retries": retries})
        assert len(server.seen) == retries + 1
    assert (caught.value.status, caught.value.retry_after) == (503, 0)


@pytest.mark.parametrize("code", ["overloaded", "not_ready", "stopping", "unhealthy"])
def test_what_no_worker_has_seen_is_sent_again(ask: Both, code: str) -> None:
    text = Told({"error": "busy; try again", "code": code, "request_id": "abc"}, 503, {"retry-after": "0"})
    with gateway(refusal(503, code, retry_after="0"), text, Told()) as server:
        assert ask(server.url, "predict", "some", b"x")
        assert len(server.seen) == 3


@pytest.mark.parametrize(
    "told",
    [
        refusal(503, "unavailable", retry_after="0"),
        refusal(503, "out_of_memory", retry_after="0"),
        refusal(503, "rate_limited", retry_after="0"),
        refusal(503, "some_code", retry_after="0"),
        refusal(429, "overloaded", retry_after="0"),
        refusal(500, "overloaded", retry_after="0"),
        Told({"error": "no answer; later", "code": "unavailable"}, 503, {"retry-after": "0"}),
        Told(b"<html>busy</html>", 503, {"retry-after": "0"}),
        Told({"error": {"code": ["overloaded"]}}, 503, {"retry-after": "0"}),
    ],
)
def test_what_may_have_been_executed_is_not_sent_again(ask: Both, told: Told) -> None:
    with gateway(told, Told()) as server:
        with pytest.raises(PredictionError) as caught:
            ask(server.url, "predict", "some", b"x")
        assert len(server.seen) == 1
    assert (caught.value.status, caught.value.retry_after) == (told.status, 0)


def test_a_pause_that_the_timeout_does_not_cover_is_not_begun(ask: Both) -> None:
    with gateway(refusal(503, "overloaded", retry_after="30"), Told()) as server:
        begun = time.monotonic()
        with pytest.raises(package.Overloaded) as caught:
            ask(server.url, "predict", "some", b"x", timeout=5)
        assert time.monotonic() - begun < 4
        assert len(server.seen) == 1
    assert caught.value.retry_after == 30


def test_retry_after_may_be_a_date_and_what_is_neither_is_none() -> None:
    in_a_minute = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=60), usegmt=True)
    assert 55 < (retry_after({"retry-after": in_a_minute}) or 0) <= 60
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 -0000"}) == 0
    assert retry_after({"retry-after": "-3"}) == 0
    beyond = f"Wed, 21 Oct {'9' * 20} 07:28:00 GMT"
    assert [retry_after({"retry-after": text}) for text in ("", "soon", "inf", "nan", beyond)] == [None] * 5
    assert retry_after({}) is None


def test_a_server_that_comes_up_meanwhile_is_reached(ask: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.calling.course.FIRST_PAUSE", 0.3)
    port = closed_port()
    done = threading.Event()

    def come_up() -> None:
        done.wait(0.2)
        with socket.create_server(("127.0.0.1", port)) as listener:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                body = msgspec.json.encode(SEVEN)
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
                connection.recv(1)

    late = threading.Thread(target=come_up)
    late.start()
    try:
        assert isinstance(ask(f"http://127.0.0.1:{port}", "predict", "some", b"x"), Classification)
    finally:
        with (
            suppress(OSError),
            socket.create_connection(("127.0.0.1", port), 1),
        ):  # lets a thread that waits end
            pass
        late.join(5)


def test_nobody_there_is_unreachable_after_its_retries(ask: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("scripts.calling.course.FIRST_PAUSE", 0.01)
    monkeypatch.setattr("scripts.calling.course.random.uniform", lambda low, high: pauses.append(high) or 0)
    port = closed_port()
    with pytest.raises(
        package.Unreachable, match=rf"127.0.0.1:{port}/predictions/some: no connection: .*up\)"
    ) as caught:
        ask(f"http://127.0.0.1:{port}", "predict", "some", b"x")
    assert len(pauses) == 3
    assert caught.value.status == 0
    assert caught.value.request_id


@pytest.mark.parametrize("kept", [0, 5])
def test_an_answer_that_breaks_off_is_not_asked_for_again(ask: Both, kept: int) -> None:
    with gateway(Told(kept=kept), Told()) as server:
        with pytest.raises(
            package.Unreachable, match=r"broke off before the answer was there.*may have been executed"
        ):
            ask(server.url, "predict", "some", b"x")
        assert len(server.seen) == 1


def test_no_answer_in_time_is_not_asked_for_again(ask: Both) -> None:
    with gateway(Told(seconds=9), Told()) as server:
        begun = time.monotonic()
        with pytest.raises(package.TimedOut, match=r"didn't answer within 0.3 s") as caught:
            ask(server.url, "predict", "some", b"x", timeout=0.3)
        assert time.monotonic() - begun < 4
        assert len(server.seen) == 1
    assert caught.value.request_id == server.seen[0].headers["x-request-id"]


def test_an_answer_that_drips_is_cut_at_the_timeout(ask: Both) -> None:
    with gateway(Told(dripped=True, seconds=0.1)) as server:
        begun = time.monotonic()
        with pytest.raises(package.TimedOut):
            ask(server.url, "predict", "some", b"x", timeout=0.5)
        assert time.monotonic() - begun < 4


@contextmanager
def trickling(whole: bytes) -> Iterator[str]:
    """Answers `whole` at once to the first request of a connection, and drips the headers of the second."""
    ended = threading.Event()

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            if whole:
                connection.recv(65536)
                connection.sendall(whole)
            connection.recv(65536)
            for at in range(200):
                if ended.wait(0.05):
                    return
                connection.sendall(b"HTTP/1.1 200 OK\r\nx-long: "[at : at + 1] or b"a")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            ended.set()
            thread.join()


def test_headers_that_drip_are_cut_at_the_timeout(ask: Both) -> None:
    with trickling(b"") as url:
        begun = time.monotonic()
        with pytest.raises(package.TimedOut, match=r"didn't answer within 0.5 s"):
            ask(url, "predict", "some", b"x", timeout=0.5)
        assert time.monotonic() - begun < 4


def test_they_are_on_a_connection_that_is_used_again_from_another_thread() -> None:
    body = msgspec.json.encode(SEVEN)
    whole = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    with trickling(whole) as url, Client(url) as client, ThreadPoolExecutor(1) as other:
        assert client.predict("some", b"x")
        begun = time.monotonic()
        with pytest.raises(package.TimedOut):
            other.submit(client.predict, "some", b"x", timeout=0.5).result()
        assert time.monotonic() - begun < 4


def test_a_body_that_nobody_takes_is_cut_at_the_timeout(ask: Both) -> None:
    """The other side reads a little, now and then: each write alone would be in time."""
    ended = threading.Event()

    def sip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            while not ended.wait(0.02):
                connection.recv(2**18)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=sip, args=(listener,))
        thread.start()
        try:
            begun = time.monotonic()
            with pytest.raises(package.TimedOut):
                ask(
                    f"http://127.0.0.1:{listener.getsockname()[1]}",
                    "predict",
                    "some",
                    b"x" * 2**27,
                    timeout=1,
                )
            assert time.monotonic() - begun < 4
        finally:
            ended.set()
            thread.join()


def test_the_timeout_covers_the_attempts_together(ask: Both) -> None:
    with gateway(refusal(503, "overloaded", retry_after="0.3"), Told(seconds=9)) as server:
        begun = time.monotonic()
        with pytest.raises(package.TimedOut, match=r"within 1.5 s"):
            ask(server.url, "predict", "some", b"x", options={"timeout": 1.5})
        assert 1.4 < time.monotonic() - begun < 4
        assert len(server.seen) == 2


def test_a_host_that_accepts_nothing_is_told_by_the_time_that_was_given(ask: Both) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        host = listener.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        try:
            for one in waiting:  # the queue is full: further connections get no answer
                one.setblocking(False)
                with suppress(BlockingIOError):
                    one.connect(host)
            with pytest.raises(package.Unreachable, match=r"no connection within 0.2 s"):
                ask(
                    f"http://127.0.0.1:{host[1]}",
                    "predict",
                    "some",
                    b"x",
                    options={"connect_timeout": 0.2, "retries": 1},
                )
        finally:
            for one in waiting:
                one.close()


# TLS and the environment


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def listening(authority: trustme.CA, *, mutual: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    if mutual:
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def test_tls_by_an_authoritys_file_or_a_context(ask: Both, authority: trustme.CA, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    context = ssl.create_default_context(cafile=str(path))
    with gateway(Told(), tls=listening(authority)) as server:
        for verify in (path, str(path), context, False):
            assert ask(server.url, "predict", "some", b"x", options={"verify": verify})


def test_a_certificate_of_nobody_is_told_at_once(ask: Both, authority: trustme.CA) -> None:
    with gateway(Told(), tls=listening(authority)) as server:
        begun = time.monotonic()
        with pytest.raises(
            package.Unreachable, match=r"TLS connection failed.*CERTIFICATE_VERIFY_FAILED.*verify"
        ):
            ask(server.url, "predict", "some", b"x", options={"retries": 50})
        assert time.monotonic() - begun < 4
        assert server.seen == []


def test_mutual_tls(ask: Both, authority: trustme.CA, tmp_path: Path) -> None:
    ca, whole, key, chain = (tmp_path / name for name in ("ca.pem", "whole.pem", "key.pem", "chain.pem"))
    mine = authority.issue_cert("caller.example")
    authority.cert_pem.write_to_path(str(ca))
    mine.private_key_and_cert_chain_pem.write_to_path(str(whole))
    mine.private_key_pem.write_to_path(str(key))
    mine.cert_chain_pems[0].write_to_path(str(chain))
    with gateway(Told(), tls=listening(authority, mutual=True)) as server:
        for cert in (whole, str(whole), (chain, key)):
            assert ask(server.url, "predict", "some", b"x", options={"verify": ca, "cert": cert})
        with pytest.raises(package.Unreachable):
            ask(server.url, "predict", "some", b"x", options={"verify": ca})
        assert len(server.seen) == 3


@pytest.mark.parametrize("error", [ssl.SSLError(1, "alert certificate required"), httpx.ReadError("")])
def test_tls_that_ends_later_is_unreachable_too(
    ask: Both, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """In TLS 1.3 a certificate is refused after the handshake, and anyio hands that on as it is."""

    def refused(*_: object) -> None:
        error.__cause__ = (
            None if isinstance(error, ssl.SSLError) else ssl.SSLError(1, "alert certificate required")
        )
        raise error

    monkeypatch.setattr(Client, "_attempt", refused)
    monkeypatch.setattr(AsyncClient, "_attempt", refused)
    with pytest.raises(package.Unreachable, match=r"TLS connection failed: .*alert certificate required"):
        ask("https://127.0.0.1:1", "predict", "some", b"x")


def test_loopback_is_never_behind_a_proxy(ask: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    with gateway(Told()) as server:
        assert ask(server.url, "predict", "some", b"x")
        assert ask(f"http://localhost:{server.port}", "predict", "some", b"x")


@pytest.mark.parametrize(
    ("url", "proxied"),
    [
        ("http://127.0.0.1:8000", False),
        ("http://127.8.9.1", False),
        ("http://[::1]:8000", False),
        ("http://localhost", False),
        ("http://10.0.0.1", True),
        ("https://models.example", True),
    ],
)
def test_only_other_hosts_are_asked_by_proxies(url: str, proxied: bool) -> None:
    assert connection.proxied(url) is proxied


# What a client is made from


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        ("127.0.0.1:8000", {}, "url is '127.0.0.1:8000'"),
        ("http://", {}, "url is 'http://'; must be like"),
        ("ftp://host", {}, "must be like"),
        ("http://host:port", {}, "url is 'http://host:port'"),
        ("http://host", {"timeout": 0}, "timeout is 0; must be a number of seconds above 0"),
        ("http://host", {"timeout": float("nan")}, "timeout is nan"),
        ("http://host", {"connect_timeout": -1}, "connect_timeout is -1"),
        ("http://host", {"retries": -1}, "retries is -1"),
        ("http://host", {"key": "secret\n"}, "the key is empty, or has other characters"),
        ("http://host", {"key": ""}, "the key is empty"),
        (
            "https://host",
            {"verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), "cert": "a.pem"},
            "call its load_cert_chain",
        ),
    ],
)
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_what_makes_no_client_is_told_at_once(kind: Any, url: str, options: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        kind(url, **options)
    assert "secret" not in str(caught.value)


def test_one_client_serves_many_threads_and_many_tasks() -> None:
    def echo(seen: Seen) -> Told:
        return Told({"values": seen.json["input"]}, seconds=0.01)

    async def together(url: str) -> list[Any]:
        async with AsyncClient(url) as client:
            return await asyncio.gather(*(client.predict("some", [i]) for i in range(20)))

    with gateway(echo) as server:
        assert asyncio.run(together(server.url)) == [Regression([float(i)]) for i in range(20)]
        with Client(server.url) as client:
            found: dict[int, Any] = {}
            threads = [
                threading.Thread(target=lambda i=i: found.setdefault(i, client.predict("some", [i])))
                for i in range(20)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert found == {i: Regression([float(i)]) for i in range(20)}


def test_a_closed_client_says_so() -> None:
    client = Client("http://127.0.0.1:1")
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.predict("some", b"x")


def test_the_client_needs_neither_torch_nor_what_commands_need() -> None:
    code = (
        "import sys, scripts.client as c\n"
        "c.Client().close()\n"
        "others = {'torch', 'torchvision', 'PIL', 'grpc', 'requests', 'scipy', 'yaml'}\n"
        "print(sorted(others & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_drawn_tree_is_the_whole_of_it() -> None:
    drawn = {
        word for line in (package.__doc__ or "").splitlines() if "── " in line for word in line.split()[:3]
    }
    errors = {
        name
        for name in package.__all__
        if isinstance(kind := getattr(package, name), type) and issubclass(kind, PredictionError)
    }
    assert len(errors) == 9
    assert errors - {"PredictionError"} <= drawn
