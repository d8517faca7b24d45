"""What a worker opens: what was decided while all that it was proven with holds, else eager, saying why."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from handlers import processor, recipe, runtimes
from handlers.handler import Handler
from handlers.runtimes import Cause, decision, named
from handlers.runtimes.decision import EAGER, Candidate
from handlers.wire import Row
from tests.decided import decide, same_threads

MODELS = Path(__file__).resolve().parents[2] / "models"
CHOSEN = Candidate("onnxruntime")
PATIENT = b"[0.1, -0.2, 0.3, 0.1, 0, 0.05, -0.01, 0.02, 0.03, 0.04]"


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    with same_threads():
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """diabetes with ONNX Runtime decided, to be copied."""
    folder = tmp_path_factory.mktemp("made") / "diabetes"
    shutil.copytree(MODELS / "diabetes", folder)
    decide(folder, CHOSEN, (10,))
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "diabetes"))


def answer(handler: Handler) -> list[float]:
    (response,) = handler.predict([Row({"body": PATIENT})])
    values: list[float] = json.loads(response.body)["values"]
    return values


def change(path: Path, **handler: object) -> None:
    found = yaml.safe_load(path.read_text())
    found["handler"] |= handler
    path.write_text(yaml.safe_dump(found))


def rewrite_decision(folder: Path, **keys: object) -> None:
    path = folder / decision.FOLDER / decision.FILE_NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))


def test_what_was_decided_executes_with_eagers_answers(folder: Path) -> None:
    handler = Handler.open(folder)
    assert handler.opened.candidate == CHOSEN
    assert handler.opened.fallback is None
    reference = Handler.open(folder, reference=True)
    assert reference.opened.candidate == EAGER
    assert answer(handler) == pytest.approx(answer(reference), rel=1e-4)


def another_processor(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "kind", lambda device: "x86_64 sse")


def another_version(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: "0.1")


def missing_library(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)


def undeclared_library(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rewrite_decision(folder, libraries={})


def broken_library(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)


def tampered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / decision.FOLDER / CHOSEN.folder / "model.onnx.data"
    path.write_bytes(bytes(len(path.read_bytes())))


def one_too_many(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / decision.FOLDER / CHOSEN.folder / "more.data").touch()


def other_code(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (folder / "model.py").open("a") as file:
        file.write("# other\n")


def other_precision(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rewrite_decision(folder, chosen={"runtime": "onnxruntime", "precision": "int8"})


def no_json(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / decision.FOLDER / decision.FILE_NAME).write_bytes(b'{"chosen": ')


def nothing_opens(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_runtime(*_: Any) -> None:
        raise RuntimeError("Load model failed")

    monkeypatch.setattr(named("onnxruntime"), "open_runtime", open_runtime)


CAUSES: dict[str, tuple[Callable[[Path, pytest.MonkeyPatch], None], Cause, str]] = {
    "another processor": (another_processor, "processor", "this is x86_64 sse"),
    "another version": (another_version, "library", "here is 0.1"),
    "a missing library": (missing_library, "library", "here is none"),
    "a version that nobody noted": (undeclared_library, "library", "of no known version"),
    "a broken library": (broken_library, "open", "ModuleNotFoundError"),
    "tampered": (tampered, "artifact", "onnxruntime-float32/model.onnx.data isn't what was proven"),
    "one too many": (one_too_many, "artifact", "more.data isn't what was proven"),
    "stale": (other_code, "stale", "changed since it was proven"),
    "a precision that nobody asked for": (other_precision, "stale", "asks for float32"),
    "unreadable": (no_json, "unreadable", "can't be read"),
    "doesn't open": (nothing_opens, "open", "RuntimeError: Load model failed"),
}


@pytest.mark.parametrize("what", CAUSES)
def test_where_something_is_otherwise_eager_answers_and_says_why(
    what: str, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = answer(Handler.open(folder, reference=True))
    make, cause, told = CAUSES[what]
    make(folder, monkeypatch)
    with caplog.at_level(logging.WARNING):
        handler = Handler.open(folder)
    fallback = handler.opened.fallback
    assert fallback is not None
    assert fallback.cause == cause
    assert told in fallback.message
    assert handler.opened.candidate == EAGER
    assert answer(handler) == expected
    assert [record.getMessage() for record in caplog.records if "eager float32 in the place" in record.msg]


def test_what_the_recipe_asks_for_and_nobody_proved_is_told(folder: Path) -> None:
    shutil.rmtree(folder / decision.FOLDER)
    assert Handler.open(folder).opened.fallback is None
    for asked, wanted in (
        ({"runtime": "openvino"}, "openvino"),
        ({"runtime": "auto", "precision": "int8"}, "auto int8"),
    ):
        change(folder / "recipe.yaml", **asked)
        fallback = Handler.open(folder).opened.fallback
        assert fallback is not None
        assert (fallback.wanted, fallback.cause) == (wanted, "undecided")


def test_a_recipe_that_wants_eager_looks_at_no_decision(folder: Path) -> None:
    no_json(folder, pytest.MonkeyPatch())
    change(folder / "recipe.yaml", runtime="eager")
    opened = Handler.open(folder).opened
    assert (opened.candidate, opened.fallback) == (EAGER, None)


def test_eager_that_was_decided_needs_nothing_to_hold(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rewrite_decision(folder, chosen={"runtime": "eager"}, files={})
    another_processor(folder, monkeypatch)
    opened = Handler.open(folder).opened
    assert (opened.candidate, opened.fallback) == (EAGER, None)


def test_an_onnx_file_that_names_data_elsewhere_does_not_read_it(folder: Path) -> None:
    """Even if somebody had its sha256 written into the decision."""
    import onnx

    own = folder / decision.FOLDER / CHOSEN.folder
    (folder / "elsewhere").write_bytes((own / "model.onnx.data").read_bytes())
    model = onnx.load(own / "model.onnx", load_external_data=False)
    locations = [
        entry
        for tensor in model.graph.initializer
        for entry in tensor.external_data
        if entry.key == "location"
    ]
    assert locations
    for entry in locations:
        entry.value = "../../elsewhere"
    (own / "model.onnx").write_bytes(model.SerializeToString())
    (own / "model.onnx.data").unlink()
    from handlers import seal

    files = {f"{CHOSEN.folder}/{name}": one for name, one in seal.digests(own).items()}
    rewrite_decision(folder, files=files)
    fallback = Handler.open(folder).opened.fallback
    assert fallback is not None
    assert fallback.cause == "open"
    assert "escapes" in fallback.message


def test_threads_are_the_workers_own_whatever_is_opened(folder: Path) -> None:
    model = recipe.load(folder).handler
    for open_one in (runtimes.opened, runtimes.reference):
        torch.set_num_threads(2)
        open_one(model, folder, torch.device("cpu"), 1)
        assert torch.get_num_threads() == 1
