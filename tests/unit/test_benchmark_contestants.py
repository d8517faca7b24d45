"""What is measured side by side: the order of turns, the programs, what they answer, and what they hold."""

import asyncio
import io
import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image

from handlers import recipe
from handlers.handler import Handler
from handlers.wire import Row as Sent
from scripts import catalog
from scripts.benchmarking import baselines, memory, request, rounds, service, stock_archive
from scripts.benchmarking.bare import BareLoop
from scripts.benchmarking.contestant import Contestant
from scripts.benchmarking.figures import Round
from scripts.benchmarking.program import Program
from scripts.benchmarking.services import fastapi_service, flask_service
from scripts.benchmarking.target import Target
from scripts.errors import CommandError
from scripts.places import ROOT, Places
from scripts.processes.children import Children
from tests import tiny_models

SUM = "return x.sum(1, keepdim=True) * self.scale"


class Noted(Contestant):
    """Answers at once, and notes who was asked when."""

    what = "nothing"

    def __init__(self, name: str, notes: list[tuple[str, int]]) -> None:
        self.name = name
        self._notes = notes

    def load(self, connections: int, seconds: float) -> Round:
        self._notes.append((self.name, connections))
        return Round(seconds, 10 * connections, 1, 1, 1)

    def pids(self) -> list[int]:
        return []


def test_everyone_has_a_turn_before_anyone_has_the_next() -> None:
    notes: list[tuple[str, int]] = []
    seen: list[str] = []
    found = rounds.measure([Noted("a", notes), Noted("b", notes)], [1, 8], 2, 0.5, seen.append)
    assert notes == [("a", 1), ("b", 1), ("a", 8), ("b", 8)] * 2
    assert [(row.contestant, row.connections, len(row.rounds)) for row in found] == [
        ("a", 1, 2),
        ("b", 1, 2),
        ("a", 8, 2),
        ("b", 8, 2),
    ]
    assert seen[0] == "round 1/2, 1 connections: a"
    assert len(seen) == 8


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    folder = tiny_models.write(tmp_path / "models" / "tiny", SUM, task="regress", batch_size=4, threads=1)
    (folder / "item.json").write_text('{"input": [1, 2]}')
    return folder


def target(folder: Path, name: str = "item.json", items: int = 1) -> Target:
    return Target("", str(folder / name), items)


def test_the_bare_loop_counts_items_of_full_batches_and_ends_with_its_stack(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.benchmarking.bare.cores", lambda: 1)
    with ExitStack() as stack:
        bare = BareLoop(tiny, recipe.load(tiny), target(tiny), tmp_path, stack)
        alone, full = bare.load(1, 0.1), bare.load(32, 0.1)
        pids = bare.pids()
        assert bare.memory() > 2**24
    assert alone.items > 0
    assert full.items > 0
    assert 0 < full.p50 <= full.p99
    assert memory.pss(pids) == 0


def test_a_request_that_the_model_refuses_ends_the_bare_loop_with_the_reason(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.benchmarking.bare.cores", lambda: 1)
    (tiny / "item.json").write_text("[1, 2, 3]")
    with ExitStack() as stack, pytest.raises(CommandError, match=r"the request is refused \(400\)"):
        BareLoop(tiny, recipe.load(tiny), target(tiny), tmp_path, stack)


def test_a_program_that_ends_early_says_what_it_printed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such luck')"]
    with (
        Program("it", command, tmp_path / "log") as program,
        pytest.raises(CommandError, match="it ended with status 1:\nno such luck"),
    ):
        program.wait(lambda: False)


def test_a_program_ends_with_what_it_started(tmp_path: Path) -> None:
    inner = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'input()'], stdin=-1)"
    command = [sys.executable, "-c", f"{inner}; print('up', flush=True); time.sleep(60)"]
    with Program("it", command, tmp_path / "log", asked=True) as program:
        assert program.hear() == "up"
        pids = memory.tree(program.pid)
    assert len(pids) == 2
    deadline = time.monotonic() + 10
    while memory.pss(pids):  # those whom SIGKILL was sent go in their own time
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_pss_counts_what_a_process_holds_and_nothing_of_one_that_has_ended() -> None:
    held = 64 * 2**20
    code = f"held = bytearray({held}); held[::4096] = bytes([1]) * len(held[::4096]); print('held'); input()"
    with subprocess.Popen(
        [sys.executable, "-uc", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert held < memory.pss([child.pid]) < 2 * held
        assert memory.busy([child.pid]) > 0
        child.communicate(b"\n")
    assert memory.pss([child.pid]) == 0


def test_the_flask_service_answers_as_the_model_does() -> None:
    folder = ROOT / "models" / "digits_cnn"
    body = (folder / "samples" / "seven.png").read_bytes()
    client = flask_service.make_app(folder).test_client()
    found = client.post("/predict", data=body, content_type="image/png").get_json()
    (reply,) = Handler.open(folder, reference=True).predict([Sent({"body": bytearray(body)})])
    best = json.loads(reply.body)["predictions"][0]
    assert found["indices"][0] == best["index"] == 7
    assert found["scores"][0] == pytest.approx(best["score"], abs=1e-3)


def test_the_fastapi_service_answers_as_the_model_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ROOT / "models" / "digits_mlp"
    body = (folder / "samples" / "five.json").read_bytes()
    monkeypatch.setenv(fastapi_service.FOLDER, str(folder))
    monkeypatch.setenv(fastapi_service.STARTED, str(tmp_path))
    status, found = asyncio.run(asked(fastapi_service.make_app(), body))
    (reply,) = Handler.open(folder, reference=True).predict([Sent({"body": bytearray(body)})])
    best = json.loads(reply.body)["predictions"][0]
    assert status == 200
    assert [path.name for path in tmp_path.iterdir()] == [str(os.getpid())]
    assert found["indices"][0] == best["index"] == 5
    assert found["scores"][0] == pytest.approx(best["score"], abs=1e-4)


async def asked(app: object, body: bytes) -> tuple[int, dict[str, list[float]]]:
    """Status and answer of an ASGI application."""
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/predict",
        "raw_path": b"/predict",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "http_version": "1.1",
        "scheme": "http",
        "server": ("localhost", 1),
        "client": ("localhost", 2),
        "root_path": "",
    }
    await app(scope, receive, send)  # type: ignore[operator]
    return int(str(sent[0]["status"])), json.loads(b"".join(m.get("body", b"") for m in sent))  # type: ignore[misc]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A published network with its weights at random, that takes pictures as the stock handler does."""
    from torchvision.models import squeezenet1_1

    folder = tmp_path / "models" / "pictures"
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    torch.save(squeezenet1_1(num_classes=3).state_dict(), folder / "weights.pth")
    image = {"kind": "image", "resize": 256, "crop": 224}
    handler = {
        "name": "pictures",
        "version": "1.0",
        "task": "classify",
        "architecture": {"torchvision": "squeezenet1_1", "args": {"num_classes": 3}},
        "weights": "weights.pth",
        "input": image,
    }
    (folder / "recipe.yaml").write_bytes(msgspec.yaml.encode({"handler": handler}))
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "a.png")
    return folder


def test_the_stock_archive_holds_the_same_network(pictures: Path, tmp_path: Path) -> None:
    import zipfile

    model = recipe.load(pictures).handler
    with Children() as children:
        packed = stock_archive.pack(model, pictures, tmp_path / "store", tmp_path / "scratch", children)
    with zipfile.ZipFile(packed) as mar:
        manifest = json.loads(mar.read("MAR-INF/MANIFEST.json"))["model"]
        space: dict[str, object] = {}
        exec(mar.read(manifest["modelFile"]).decode(), space)
        network = space["Network"]()  # type: ignore[operator]
        network.load_state_dict(torch.load(io.BytesIO(mar.read(manifest["serializedFile"]))))
        assert b"topk = 3" in mar.read(manifest["handler"])
    assert manifest["modelName"] == "pictures"
    assert network.classifier[1].out_channels == 3


def test_the_stock_handler_is_named_itself_where_it_has_enough_classes(tmp_path: Path) -> None:
    assert stock_archive._handler(1000, tmp_path) == "image_classifier"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is really started."""
    notes: list[tuple[str, int]] = []
    monkeypatch.setattr(baselines, "BareLoop", lambda *_: Noted("bare loop", notes))
    monkeypatch.setattr(service, "flask", lambda *_: Noted("Flask", notes))
    monkeypatch.setattr(service, "fastapi", lambda *_: Noted("FastAPI", notes))
    monkeypatch.setattr(baselines, "stock", lambda *_: Noted("stock handler", notes))


def beside(folder: Path, file: Path, tmp_path: Path) -> tuple[list[str], str]:
    """Who is measured beside a model, and why others aren't."""
    entry = catalog.find(Places(models=folder.parent), folder.name)
    with Children() as children, ExitStack() as stack:
        found, without = baselines.start(entry, request.of(entry, file), tmp_path, children, stack)
    return [one.name for one in found], " ".join(without)


@pytest.mark.usefixtures("started")
def test_pictures_are_measured_beside_flask_and_the_stock_handler(pictures: Path, tmp_path: Path) -> None:
    assert beside(pictures, pictures / "a.png", tmp_path) == (["bare loop", "Flask", "stock handler"], "")


@pytest.mark.usefixtures("started")
def test_numbers_are_measured_beside_fastapi(tiny: Path, tmp_path: Path) -> None:
    assert beside(tiny, tiny / "item.json", tmp_path) == (["bare loop", "FastAPI"], "")


@pytest.mark.usefixtures("started")
def test_who_cannot_do_the_same_work_is_left_out_and_named(tiny: Path, tmp_path: Path) -> None:
    many = tiny / "many.json"
    many.write_text("[[1, 2], [3, 4]]")
    names, without = beside(tiny, many, tmp_path)
    assert names == ["bare loop"]
    assert "one item" in without
    digits = ROOT / "models" / "digits_cnn"
    names, without = beside(digits, digits / "samples" / "seven.png", tmp_path)
    assert names == ["bare loop", "Flask"]
    assert "224" in without


def test_what_a_request_holds_is_read_as_the_model_reads_it(tiny: Path) -> None:
    entry = catalog.find(Places(models=tiny.parent), "tiny")
    many = tiny / "many.json"
    many.write_text("[[1, 2], [3, 4]]")
    assert request.of(entry, many) == request.Sent(many, "numbers", 2)
    with pytest.raises(CommandError, match="has no samples; give a request: --input FILE"):
        request.of(entry, None)
    with pytest.raises(CommandError, match=r"absent\.json"):
        request.of(entry, tiny / "absent.json")
    many.write_text("{")
    with pytest.raises(CommandError, match="tiny can't read it"):
        request.of(entry, many)


def test_the_first_sample_is_the_request_where_none_is_given() -> None:
    entry = catalog.find(Places(), "digits_mlp")
    assert request.of(entry, None) == request.Sent(entry.folder / "samples" / "seven.png", "image", 1)
