"""serve: TorchServe's rows and context in, statuses and content types out; with TorchServe's own context."""

from __future__ import annotations

import json
import logging
import shutil
import struct
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from handlers import execution, recipe, seal, word
from handlers.runtimes import Opened
from handlers.runtimes.decision import EAGER, Candidate
from handlers.serve import Service, StartFailed
from tests import tiny_models
from tests.bad_inputs import picture
from tests.decided import decide

with warnings.catch_warnings():  # importing ts leaves its version file open
    warnings.simplefilter("ignore", ResourceWarning)
    from ts.context import Context, RequestProcessor

MODELS = Path(__file__).resolve().parents[2] / "models"


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    """A worker sets torch's threads for its process; here that is everyone's."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def sealed(folder: Path) -> Path:
    """The folder as it would lie unpacked from an archive."""
    model = recipe.load(folder).handler
    seal.write(seal.make(folder, model.name, model.version), folder)
    return folder


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    folder = tmp_path / "unpacked"
    shutil.copytree(MODELS / "digits_mlp", folder)
    return sealed(folder)


def context(folder: Path) -> Context:
    model = recipe.load(folder).handler
    manifest = {"model": {"modelName": model.name, "modelVersion": model.version}}
    return Context(model.name, str(folder), manifest, 8, None, "0.12.0")


def started(folder: Path) -> tuple[Service, Context]:
    service, about = Service(), context(folder)
    service.initialize(about)
    return service, about


def handle(
    served: tuple[Service, Context],
    rows: Sequence[Mapping[str, object]],
    headers: Sequence[dict[str, Any]] = (),
) -> list[tuple[int, str, Any]]:
    """(status, content type, decoded body) of each row, as TorchServe's frontend would see them."""
    service, about = served
    about.request_processor = [RequestProcessor(dict(header)) for header in headers or [{} for _ in rows]]
    about.request_ids = {index: f"torchserve-{index}" for index in range(len(rows))}
    bodies = service.handle(rows, about)
    assert len(bodies) == len(rows)
    return [
        (about.get_response_status(index)[0], about.get_response_content_type(index), json.loads(body))
        for index, body in enumerate(bodies)
    ]


def test_each_row_gets_its_own_status_and_content_type(archive: Path) -> None:
    rows = [
        {"body": bytearray(picture("PNG"))},
        {"body": bytearray(b"nonsense")},
        {},
        {"image": bytearray((archive / "samples" / "seven.png").read_bytes())},
        {"body": bytearray(picture("GIF"))},
    ]
    served = started(archive)
    found = handle(served, rows)
    assert [status for status, *_ in found] == [200, 400, 400, 200, 415]
    assert {content_type for _, content_type, _ in found} == {"application/json"}
    assert found[3][2]["predictions"][0]["label"] == "seven"
    assert [body["error"]["code"] for status, _, body in found if status != 200] == [
        "bad_json",
        "empty_body",
        "unsupported_type",
    ]
    _, about = served
    assert [about.get_response_status(index)[1] for index in (0, 1)] == ["OK", "Bad Request"]


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ({"x-request-id": "caller-7.a:b_c"}, "caller-7.a:b_c"),
        ({"X-Request-ID": "Case"}, "Case"),
        ({}, "torchserve-0"),
        ({"x-request-id": ""}, "torchserve-0"),
        ({"x-request-id": "two\nlines"}, "torchserve-0"),
        ({"x-request-id": "x" * 129}, "torchserve-0"),
        ({"x-request-id": "<script>"}, "torchserve-0"),
        ({"x-request-id": "ünicode"}, "torchserve-0"),
    ],
)
def test_the_callers_sane_request_id_is_kept_else_torchserves_taken(
    header: dict[str, str], wanted: str, archive: Path
) -> None:
    ((status, _, body),) = handle(started(archive), [{"body": b"x"}], [header])
    assert (status, body["request_id"]) == (400, wanted)


@pytest.mark.parametrize(
    ("header", "field", "wanted"),
    [
        ({}, bytearray(b"gateway-7"), "gateway-7"),
        ({}, b"gateway-7", "gateway-7"),
        ({}, "gateway-7", "gateway-7"),
        ({"x-request-id": "header"}, b"field", "header"),
        ({"x-request-id": "<script>"}, b"field", "field"),
        ({"x-request-id": {"content-type": "text/plain"}}, b"field", "field"),
        ({}, b"", "torchserve-0"),
        ({}, b"two\nlines", "torchserve-0"),
        ({}, b"x" * 129, "torchserve-0"),
        ({}, "\u00fcnicode".encode(), "torchserve-0"),
        ({}, b"\xff", "torchserve-0"),
        ({}, ["a", "list"], "torchserve-0"),
    ],
)
def test_a_field_may_carry_the_request_id_and_is_never_an_input(
    header: dict[str, Any], field: object, wanted: str, archive: Path
) -> None:
    served = started(archive)
    sample = bytearray((archive / "samples" / "seven.png").read_bytes())
    rows = [{"data": sample, "x-request-id": field}, {"x-request-id": field, "data": b"x"}]
    good, bad = handle(served, rows, [dict(header), dict(header)])
    assert (good[0], good[2]["predictions"][0]["label"]) == (200, "seven")
    assert (bad[0], bad[2]["error"]["code"]) == (400, "bad_json")
    assert bad[2]["request_id"] == wanted.replace("torchserve-0", "torchserve-1")


def test_a_request_id_alone_is_no_body(archive: Path) -> None:
    ((status, _, body),) = handle(started(archive), [{"x-request-id": b"lone"}])
    assert (status, body["error"]["code"], body["request_id"]) == (400, "empty_body", "lone")


def test_every_answer_says_which_version_gave_it(tmp_path: Path) -> None:
    forward = "if (x == 13).all(): raise ValueError\nreturn x"
    served = started(sealed(tiny_models.write(tmp_path / "m", forward, version="2.1-rc")))
    for rows, statuses in (([b"[1, 2]", b"x"], [200, 400]), ([b"[13, 13]"], [500])):
        found = handle(served, [{"body": body} for body in rows])
        assert [status for status, *_ in found] == statuses
        assert [served[1].get_response_headers(index)["x-model-version"] for index in range(len(rows))] == [
            "2.1-rc"
        ] * len(rows)


def test_headers_of_an_answer_are_its_own(tmp_path: Path) -> None:
    """As text, because TorchServe's worker dies of any other."""
    service, about = started(sealed(tiny_models.write(tmp_path / "m", "return x")))
    tensor = {"name": "input", "datatype": "FP32", "shape": [2], "data": [1, 2]}
    asked = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    rows = [{"body": b"[1, 2]"}, {"body": json.dumps(asked).encode()}, {"body": b"\xff"}]
    about.request_processor = [
        RequestProcessor({}),
        RequestProcessor({"X-Pthserve-Protocol": "oip"}),
        RequestProcessor({"x-pthserve-protocol": "oip_grpc"}),
    ]
    about.request_ids = {index: str(index) for index in range(len(rows))}
    bodies = service.handle(rows, about)
    plain, oip, grpc = [about.get_response_headers(index) for index in range(len(rows))]
    assert plain == {"content-type": "application/json", "x-model-version": "1.0"}
    assert oip["content-type"] == "application/octet-stream"
    assert bodies[1][int(oip["inference-header-content-length"]) :] == struct.pack("<2f", 1, 2)
    assert (grpc["grpc-status"], grpc["content-type"], bodies[2]) == ("3", "application/x-protobuf", b"")
    assert all(type(value) is str for value in (*oip.values(), *grpc.values()))


def test_ids_and_types_belong_to_their_rows(archive: Path) -> None:
    headers = [
        {"x-request-id": "a", "body": {"content-type": "image/png"}, "Content-Type": "text/plain"},
        {"body": {"content-type": None}, "Content-Type": "image/jpeg"},
        {"x-request-id": "c", "file": {"content-type": ""}},
    ]
    rows = [{"body": b"\0noise"}, {"body": b"\0noise"}, {"file": b"\0noise"}]
    found = handle(started(archive), rows, headers)
    assert [body["request_id"] for *_, body in found] == ["a", "torchserve-1", "c"]
    assert ["'image/png'" in body["error"]["message"] for *_, body in found] == [True, False, False]
    assert [body["error"]["code"] for *_, body in found] == ["bad_image", "bad_image", "unsupported_type"]


def test_a_fault_of_ours_is_logged_under_its_request_id_and_not_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    forward = "raise ValueError('a secret of the inside')"
    served = started(sealed(tiny_models.write(tmp_path / "m", forward)))
    with caplog.at_level(logging.ERROR):
        ((status, content_type, body),) = handle(served, [{"body": b"[1, 2]"}], [{"x-request-id": "id-7"}])
    assert (status, content_type) == (500, "application/json")
    assert "secret" not in json.dumps(body)
    (record,) = caplog.records
    assert "request id-7 failed" in record.getMessage()
    assert "a secret of the inside" in record.getMessage()
    assert "Traceback" in record.getMessage()


def test_the_callers_faults_are_not_logged(archive: Path, caplog: pytest.LogCaptureFixture) -> None:
    served = started(archive)
    with caplog.at_level(logging.WARNING):
        handle(served, [{"body": b"x"}])
    assert caplog.records == []


def metrics(capsys: pytest.CaptureFixture[str]) -> dict[str, float]:
    """What was told, by name and labels; the values added up."""
    found: dict[str, float] = {}
    for line in capsys.readouterr().out.splitlines():
        if line.startswith("[METRICS]"):
            name, _, rest = line.removeprefix("[METRICS]").partition(".")
            value, labels, *_ = rest.partition(":")[2].split("|#")
            found[f"{name} {labels}"] = found.get(f"{name} {labels}", 0) + float(value)
    return found


def test_a_worker_tells_what_it_opened_and_every_batch(
    archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served = started(archive)
    labels = "model:digits_mlp,version:1.0"
    # the samples that are replayed aren't anyone's requests
    info = "runtime:eager,precision:float32,fallback:no,device:cpu,assumed:nothing"
    assert metrics(capsys) == {
        f"pthserve_model_info {labels},{info}": 1,
        f"pthserve_out_of_memory_total {labels}": 0,
    }
    for _ in range(2):
        handle(served, [{"body": picture("PNG")}, {"body": b"x"}, {"body": picture("PNG")}])
    found = metrics(capsys)
    assert found.pop(f"pthserve_batch_requests {labels}") == 6
    assert found.pop(f"pthserve_items_total {labels},code:ok") == 4
    assert found.pop(f"pthserve_items_total {labels},code:bad_json") == 2
    assert set(found) == {
        f"pthserve_{phase}_seconds {labels}" for phase in ("reading", "preparing", "network", "finishing")
    }
    assert min(found.values()) > 0


def test_metrics_that_fail_disturb_no_answer(
    archive: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Closed:
        def write(self, text: str) -> None:
            raise ValueError("I/O operation on closed file")

    monkeypatch.setattr("sys.stdout", Closed())
    served = started(archive)
    for _ in range(3):
        ((status, *_),) = handle(served, [{"body": picture("PNG")}])
        assert status == 200
    assert len([record for record in caplog.records if "metrics" in record.getMessage()]) == 1


def test_samples_are_replayed_before_the_worker_is_ready(
    archive: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        started(archive)
    passed = [record.getMessage() for record in caplog.records if "passed" in record.getMessage()]
    assert len(passed) == 3
    assert "samples/seven.png" in passed[0]
    assert "expected by owner" in passed[0]


def test_other_library_versions_than_checked_with_are_warned_of(
    archive: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = json.loads((archive / seal.FILE_NAME).read_bytes())
    content["libraries"]["numpy"] = "0.1"
    (archive / seal.FILE_NAME).write_text(json.dumps(content))
    with caplog.at_level(logging.WARNING):
        started(archive)
    assert [
        record.getMessage() for record in caplog.records if "checked with numpy 0.1" in record.getMessage()
    ]


def fails(folder: Path) -> str:
    """The message of a start that fails, and no RuntimeError."""
    with pytest.raises(Exception) as caught:
        started(folder)
    assert isinstance(caught.value, StartFailed)
    assert not isinstance(caught.value, (RuntimeError, MemoryError))
    return str(caught.value)


def change_weights(folder: Path) -> None:
    content = bytearray((folder / "weights.pth").read_bytes())
    content[-200] ^= 1
    (folder / "weights.pth").write_bytes(content)


@pytest.mark.parametrize(
    ("tamper", "named"),
    [
        (change_weights, "weights.pth"),
        (lambda folder: (folder / "labels.txt").write_text("other\n" * 10), "labels.txt"),
        (
            lambda folder: (folder / "model.py").write_bytes(b"\n" + (folder / "model.py").read_bytes()),
            "model.py",
        ),
        (lambda folder: (folder / "sitecustomize.py").write_text(""), "sitecustomize.py"),
        (lambda folder: (folder / "samples" / "five.npy").unlink(), "samples/five.npy"),
        (lambda folder: (folder / seal.FILE_NAME).unlink(), "seal.json"),
        (lambda folder: (folder / seal.FILE_NAME).write_text("{}"), "seal.json"),
    ],
    ids=["weights", "labels", "code", "a file too many", "a file too few", "no seal", "an empty seal"],
)
def test_a_tampered_archive_is_refused(tamper: Any, named: str, archive: Path) -> None:
    tamper(archive)
    message = fails(archive)
    assert "BadArchive" in message
    assert named in message


def test_what_torchserve_and_python_leave_in_the_folder_is_no_tampering(archive: Path) -> None:
    (archive / "MAR-INF").mkdir()
    (archive / "MAR-INF" / "MANIFEST.json").write_text("{}")
    (archive / "__pycache__").mkdir(exist_ok=True)
    (archive / "__pycache__" / "entry.pyc").write_bytes(b"x")
    started(archive)


def test_the_reason_of_a_failed_start_is_left_where_the_environment_says(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(word.FOLDER, str(tmp_path))
    change_weights(archive)
    fails(archive)
    reason = (tmp_path / "digits_mlp-1.0.txt").read_text()
    assert reason.startswith("1 files differ from seal.json: weights.pth; ")
    assert "Traceback" in reason


def test_word_is_left_of_what_executes(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "told"
    told.mkdir()
    monkeypatch.setenv(word.FOLDER, str(told))
    started(archive)
    found = execution.find(told, "digits_mlp", "1.0")
    assert found is not None
    assert (found.runtime, found.cause) == ("eager", "")
    assert found.batch_seconds > 0
    assert [spec.name for spec in found.outputs] == ["label", "index", "score"]
    decide(archive, Candidate("torchscript"), (784,))
    started(sealed(archive))
    found = execution.find(told, "digits_mlp", "1.0")
    assert found is not None
    assert (found.runtime, found.cause) == ("torchscript", "")
    monkeypatch.setattr("handlers.processor.kind", lambda device: "another")
    started(archive)
    found = execution.find(told, "digits_mlp", "1.0")
    assert found is not None
    assert (found.runtime, found.instead, found.cause) == ("eager", "torchscript", "processor")


def test_where_word_cannot_be_left_it_serves_all_the_same(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(word.FOLDER, str(tmp_path / "nowhere"))
    ((status, *_),) = handle(started(archive), [{"body": picture("PNG")}])
    assert status == 200
    assert "can't be told" in caplog.text


@pytest.mark.parametrize("name", ["torchscript-float32/traced.pt", "decision.json"])
def test_an_archive_with_a_tampered_artifact_or_decision_is_refused(name: str, archive: Path) -> None:
    decide(archive, Candidate("torchscript"), (784,))
    sealed(archive)
    path = archive / "optimised" / name
    path.write_bytes(path.read_bytes().replace(b"linear", b"linexr").replace(b"float32", b"float31"))
    message = fails(archive)
    assert "BadArchive" in message
    assert name in message


def test_files_of_an_archive_are_hashed_once(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decide(archive, Candidate("torchscript"), (784,))
    sealed(archive)
    hashed: list[str] = []
    real = seal.sha256
    monkeypatch.setattr(seal, "sha256", lambda path: hashed.append(path.name) or real(path))
    started(archive)
    assert hashed.count("weights.pth") == hashed.count("traced.pt") == 1


def test_where_the_device_is_lost_the_process_ends_and_answers_nobody(
    archive: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(batch: torch.Tensor) -> torch.Tensor:
        raise torch.AcceleratorError("CUDA error: device-side assert triggered")

    class Ended(BaseException):
        pass

    def end(status: int) -> None:
        raise Ended(status)

    served = started(archive)
    assert served[0]._handler is not None
    served[0]._handler.opened = Opened(broken, EAGER)
    monkeypatch.setattr("os._exit", end)
    with pytest.raises(Ended) as ended:
        handle(served, [{"body": picture("PNG")}])
    assert ended.value.args == (70,)
    assert "this worker ends" in caplog.text


def test_a_sample_that_differs_never_becomes_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(word.FOLDER, str(tmp_path))
    samples = [{"input": "s.json", "expect": [1.0, 3.0]}]
    folder = tiny_models.write(tmp_path / "m", "return x", samples=samples)
    (folder / "s.json").write_text("[1, 2]")
    assert "SampleMismatch" in fails(sealed(folder))
    assert (
        (tmp_path / "tiny-1.0.txt").read_text().startswith("sample s.json (alone): expected 3, got 2 at [1]")
    )


@pytest.mark.parametrize("error", ["RuntimeError", "MemoryError", "KeyError"])
def test_code_of_the_model_that_raises_is_never_a_runtime_error(error: str, tmp_path: Path) -> None:
    task_py = f"""
        from handlers.tasks import Tensor
        class Own(Tensor):
            def __init__(self, recipe, folder):
                raise {error}("odd")
    """
    folder = tiny_models.write(tmp_path / "m", "return x", task_py=task_py, task="task.py:Own")
    assert error in fails(sealed(folder))


def test_without_the_environments_folder_no_reason_is_left(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(word.FOLDER, raising=False)
    monkeypatch.chdir(tmp_path)
    change_weights(archive)
    before = sorted(path.name for path in tmp_path.iterdir())
    fails(archive)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_service_that_never_started_does_not_answer(archive: Path) -> None:
    with pytest.raises(StartFailed):
        Service().handle([{"body": b"x"}], context(archive))
