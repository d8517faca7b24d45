"""A gateway of a few routes, for what a real one can't be brought to say on demand."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
from msgspec import Struct

from scripts.describing.card import Cards
from scripts.gateway.page import page
from scripts.places import ROOT

MODELS = ROOT / "models"
PNG = (MODELS / "digits_cnn" / "samples" / "seven.png").read_bytes()
PATIENT = (MODELS / "diabetes" / "samples" / "patient1.json").read_bytes()
SMUGGLED = "<img src=x onerror=\"document.title='smuggled'\">"
QUANTILES = [0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100]

SEVEN = {
    "predictions": [
        {"label": "seven", "index": 7, "score": 0.9812},
        {"label": "nine", "index": 9, "score": 0.0131},
        {"label": "two", "index": 2, "score": 0.0034},
    ]
}
NOT_READY = {
    "code": "not_ready",
    "message": "digits_cnn/1.0 is being restarted",
    "hint": "try again; Retry-After says in how many seconds",
}
BAD_IMAGE = {
    "code": "bad_image",
    "message": "the body is no image that can be read",
    "hint": "send the bytes of a JPEG, PNG or WebP file",
}


class Answer(Struct, frozen=True):
    """What the next predictions get."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = {}


class Seen(Struct, frozen=True):
    """One prediction that was asked for."""

    path: str
    headers: dict[str, str]
    body: bytes


def card(name: str, task: str = "classify", **more: Any) -> dict[str, Any]:
    """As scripts/describing/card.py writes it."""
    found = {
        "name": name,
        "version": "1.0",
        "versions": ["1.0"],
        "task": task,
        "description": "Answers which handwritten digit a picture shows; accuracy 0.975 on 360 digits.",
        "inputs": [
            {"name": "image", "datatype": "BYTES", "shape": [-1]},
            {"name": "input", "datatype": "FP32", "shape": [-1, 3, 28, 28]},
        ],
        "outputs": [{"name": "label", "datatype": "BYTES", "shape": [-1, 3]}],
        "input": "a picture (JPEG, PNG or WebP) of at most 50 megapixels; it is read as RGB",
        "labels": ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
        "limits": {"max_items": 1024, "max_bytes": 20_000_000, "deadline_seconds": 27.0},
        "runtime": {
            "executes": "openvino",
            "instead": "",
            "cause": "",
            "precision": "float32",
            "parity": {
                "error": 1.7e-6,
                "agreement": 1.0,
                "ms_one": 0.31,
                "ms_full": 1.2,
                "eager_ms_one": 0.92,
                "eager_ms_full": 3.1,
            },
        },
        "checkpoint": {"file": "weights.pth", "sha256": "b0353104" * 8},
        "assumed": [],
        "self_recorded": [],
        "samples": [sample(name, 0, "samples/seven.png", "image/png")],
        "routes": {
            "predict": f"/predictions/{name}",
            "kserve_v1": f"/v1/models/{name}:predict",
            "oip": f"/v2/models/{name}/infer",
        },
    }
    return found | more


def numbers(name: str, **more: Any) -> dict[str, Any]:
    """One that takes ten numbers."""
    given = {
        "description": "Predicts the progression of diabetes after one year from ten scaled features.",
        "inputs": [{"name": "input", "datatype": "FP32", "shape": [-1, 10]}],
        "outputs": [{"name": "values", "datatype": "FP32", "shape": [-1, 1]}],
        "input": "float32 numbers of shape [10]",
        "labels": None,
        "samples": [sample(name, 0, "samples/patient1.json", "application/json", "self-recorded")],
        "self_recorded": ["samples/patient1.json"],
        "assumed": ["input.mean"],
    }
    return card(name, "regress", **{**given, **more})


def sample(name: str, index: int, file: str, kind: str, proof: str = "owner") -> dict[str, Any]:
    url = f"/samples/{name}/1.0/{index}"
    return {"name": file, "url": url, "content_type": kind, "proof": proof, "bytes": len(PNG)}


class FakeGateway:
    """Says what its fields hold."""

    def __init__(self) -> None:
        self.forget()
        self._server: ThreadingHTTPServer | None = None
        self.port = 0

    def forget(self) -> None:
        """As at the start."""
        self.cards = [
            card("digits_cnn", versions=["1.0", "2.0"]),
            numbers("diabetes"),
            card("parity_resnet18"),
        ]
        self.answer = Answer(200, SEVEN, {"x-model-version": "1.0"})
        self.reasons = {"parity_resnet18": "1.0 is loading"}
        self.key = ""
        self.delay = 0.0
        self.seen: list[Seen] = []
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """On the port that it had before, if it had one."""
        gateway = self

        class Handler(_Handler):
            fake = gateway

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def endpoints(self) -> bytes:
        """Of the very form that the real one has."""
        return msgspec.json.encode(msgspec.convert({"endpoints": self.cards}, Cards))

    def latency(self) -> dict[str, Any]:
        """As Envoy's /stats?format=json: a histogram without values has nulls."""
        stats: list[dict[str, Any]] = []
        computed = []
        for at, one in enumerate(self.cards):
            for protocol in ("rest", "grpc"):
                prefix = f"cluster.{one['name']}/1.0/{protocol}.upstream_rq"
                total = 1204 // (at + 1) if protocol == "rest" else 0
                stats.append({"name": f"{prefix}_completed", "value": total})
                times = [3.05 * (at + 1) * (1 + quantile / 50) if total else None for quantile in QUANTILES]
                values = [{"interval": None, "cumulative": time} for time in times]
                computed.append({"name": f"{prefix}_time", "values": values})
        stats.append({"name": "cluster.digits_cnn/1.0/rest.upstream_rq_5xx", "value": 2})
        return {
            "stats": [
                *stats,
                {"histograms": {"supported_quantiles": QUANTILES, "computed_quantiles": computed}},
            ]
        }


class _Handler(BaseHTTPRequestHandler):
    fake: FakeGateway
    timeout = 5

    def log_message(self, format: str, *args: object) -> None:
        """Said nowhere."""

    def do_GET(self) -> None:
        fake, path = self.fake, self.path
        fake.asked.append(path)
        if path == "/":
            found = page()
            self._say(200, found.body, found.content_type, dict(found.headers))
        elif path == "/ready":
            error = {"code": "not_ready", "message": "not every model can answer", "models": fake.reasons}
            self._tell(503, error) if fake.reasons else self._say(200, b'{"ready": true}')
        elif fake.key and self.headers.get("x-api-key") != fake.key:
            self._tell(
                401, {"code": "unauthorized", "message": "no caller has this key", "hint": "ask for one"}
            )
        elif path == "/endpoints":
            self._say(200, fake.endpoints())
        elif path == "/latency":
            self._say(200, json.dumps(fake.latency()).encode())
        elif path.startswith("/samples/diabetes/"):
            self._say(200, PATIENT)
        elif path.startswith("/samples/"):
            self._say(200, PNG, "image/png")
        else:
            self._tell(404, {"code": "not_found", "message": "there is nothing here", "hint": ""})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.fake.seen.append(
            Seen(self.path, {key.lower(): value for key, value in self.headers.items()}, body)
        )
        time.sleep(self.fake.delay)
        answer = self.fake.answer
        if "error" in answer.body:
            self._tell(answer.status, answer.body["error"], answer.headers)
        else:
            self._say(answer.status, json.dumps(answer.body).encode(), headers=answer.headers)

    do_PUT = do_POST  # noqa: N815 - what curl -T sends

    def _tell(self, status: int, error: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        self._say(status, json.dumps({"error": error, "request_id": "r-17"}).encode(), headers=headers)

    def _say(
        self, status: int, body: bytes, kind: str = "application/json", headers: dict[str, str] | None = None
    ) -> None:
        with contextlib.suppress(ConnectionError):  # a page that is left doesn't wait
            self.send_response(status)
            given = {"content-type": kind, "content-length": str(len(body)), "x-request-id": "r-17"}
            for key, value in (given | (headers or {})).items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body)


@contextlib.contextmanager
def serving() -> Iterator[FakeGateway]:
    fake = FakeGateway()
    fake.start()
    try:
        yield fake
    finally:
        fake.stop()
