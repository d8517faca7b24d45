"""What an endpoint tells of itself: cards, metadata by other protocols, and the pages that hold them."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from handlers.execution import Execution
from handlers.signature import TensorSpec
from handlers.wire import oip_messages
from scripts.describing.archived import archived
from scripts.describing.card import Card, card
from scripts.describing.pages import Offered, Pages, Served, described
from scripts.places import ROOT
from tests import tiny_models
from tests.archives import archive

LIMIT = 1000


def copied(name: str, folder: Path) -> Path:
    """A model of the repository without what was decided on its runtime."""
    target = folder / name
    shutil.copytree(ROOT / "models" / name, target, ignore=shutil.ignore_patterns("optimised"))
    return target


def changed(folder: Path, **handler: object) -> Path:
    path = folder / "recipe.yaml"
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    tree["handler"] |= handler
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return folder


def card_of(folder: Path, execution: Execution | None = None) -> Card:
    found = archived(archive(folder, folder.parent))
    return card(found, execution, [found.model.version], max_bytes=LIMIT, deadline=27.0)


def tiny(folder: Path, **handler: object) -> Path:
    return tiny_models.write(folder / "tiny", "return x * self.scale", **handler)  # type: ignore[arg-type]


def decide(folder: Path) -> None:
    """As `optimise` leaves it, with three rows."""
    rows = [
        {
            "candidate": {"runtime": "eager", "precision": "float32", "options": []},
            "ms_one": 9.0,
            "ms_full": 20.0,
        },
        {
            "candidate": {"runtime": "openvino"},
            "verdict": "kept",
            "error": 1e-6,
            "agreement": 1.0,
            "ms_one": 3.0,
        },
        {"candidate": {"runtime": "eager", "precision": "bfloat16"}, "error": 0.01, "agreement": 0.99},
    ]
    (folder / "optimised").mkdir()
    told = {"chosen": {"runtime": "openvino", "precision": "float32", "options": []}, "tried": rows}
    (folder / "optimised" / "decision.json").write_text(json.dumps(told), encoding="utf-8")


def test_a_card_has_what_the_recipe_and_the_archive_tell(tmp_path: Path) -> None:
    folder = copied("digits_cnn", tmp_path)
    told = card_of(folder)
    assert (told.name, told.version, told.versions, told.task) == ("digits_cnn", "1.0", ("1.0",), "classify")
    assert told.inputs == (TensorSpec("image", "BYTES", (-1,)), TensorSpec("input", "FP32", (-1, 3, 28, 28)))
    assert told.outputs == (
        TensorSpec("label", "BYTES", (-1, 3)),
        TensorSpec("index", "INT64", (-1, 3)),
        TensorSpec("score", "FP32", (-1, 3)),
    )
    assert told.labels is not None
    assert told.labels[:2] == ("zero", "one")
    assert msgspec.structs.astuple(told.limits) == (1024, LIMIT, 27.0)
    assert told.checkpoint.sha256 == hashlib.sha256((folder / "weights.pth").read_bytes()).hexdigest()
    assert told.input == (
        "a picture (JPEG, PNG or WebP) of at most 25 megapixels; it is read as RGB, resized to 28 on its "
        "shorter side, its centre of 28 x 28 taken, less mean 0.5 0.5 0.5, divided by 0.5 0.5 0.5; "
        "or float32 numbers of shape [3, 28, 28]"
    )
    assert told.routes.kserve_v1 == "/v1/models/digits_cnn:predict"
    sample = told.samples[0]
    assert (sample.name, sample.url) == ("seven.png", "/samples/digits_cnn/1.0/0")
    assert (sample.content_type, sample.proof) == ("image/png", "owner")
    assert sample.bytes == (folder / "samples" / "seven.png").stat().st_size


@pytest.mark.parametrize(
    ("execution", "executes", "precision", "ms"),
    [
        (None, "openvino", "float32", (3.0, 9.0)),
        (Execution("openvino"), "openvino", "float32", (3.0, 9.0)),
        (Execution("eager bfloat16"), "eager bfloat16", "bfloat16", (None, 9.0)),
        (Execution("eager", "openvino", "processor"), "eager", "float32", None),
        (Execution("torchscript"), "torchscript", "float32", None),
    ],
)
def test_what_executes_is_what_the_worker_says_with_the_figures_that_were_measured_for_it(
    tmp_path: Path,
    execution: Execution | None,
    executes: str,
    precision: str,
    ms: tuple[float | None, float] | None,
) -> None:
    folder = tiny(tmp_path)
    decide(folder)
    told = card_of(folder, execution).runtime
    assert (told.executes, told.precision) == (executes, precision)
    assert (told.parity and (told.parity.ms_one, told.parity.eager_ms_one)) == ms
    if execution is not None:
        assert (told.instead, told.cause) == (execution.instead, execution.cause)


def test_a_decision_that_cant_be_read_is_none(tmp_path: Path) -> None:
    folder = tiny(tmp_path)
    decide(folder)
    (folder / "optimised" / "decision.json").write_text("{")
    assert card_of(folder).runtime.parity is None


@pytest.mark.parametrize(
    ("handler", "outputs"),
    [
        ({"task": "regress"}, (("values", "FP32", (-1, -1)),)),
        ({"task": "regress", "output": {"names": ["a", "b"]}}, (("values", "FP32", (-1, 2)),)),
        ({"task": "tensor"}, (("output", "FP32", (-1, -1)),)),
        ({"task": "task.py:Mine", "task_py": "class Mine: ..."}, (("answer", "BYTES", (-1,)),)),
    ],
)
def test_outputs_without_a_workers_word_are_those_of_the_recipe(
    tmp_path: Path, handler: dict[str, Any], outputs: tuple[tuple[Any, ...], ...]
) -> None:
    assert tuple(map(msgspec.structs.astuple, card_of(tiny(tmp_path, **handler)).outputs)) == outputs


def test_outputs_are_those_that_a_worker_has_seen(tmp_path: Path) -> None:
    seen = (TensorSpec("output", "FP32", (-1, 2)),)
    assert card_of(tiny(tmp_path), Execution("eager", outputs=seen)).outputs == seen


def test_what_is_assumed_or_self_recorded_is_told(tmp_path: Path) -> None:
    folder = tiny(
        tmp_path, assumed=["input", "output"], samples=[{"input": "one.json"}, {"input": "long.json"}]
    )
    (folder / "one.json").write_text("[1, 2]")
    (folder / "long.json").write_text(f"[1, {' ' * 2**19}2]")
    told = card_of(folder)
    assert told.assumed == ("input", "output")
    assert told.self_recorded == ("one.json", "long.json")
    assert [(one.name, one.proof) for one in told.samples] == [("one.json", "self-recorded")]


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ({"minimum": 0, "maximum": 9}, "int64 numbers of shape [4], each between 0 and 9"),
        ({"minimum": 0}, "int64 numbers of shape [4], each at least 0"),
        ({"maximum": 9.5}, "int64 numbers of shape [4], each at most 9.5"),
    ],
)
def test_the_range_of_numbers_is_told(tmp_path: Path, bounds: dict[str, float], words: str) -> None:
    folder = tiny(tmp_path, input={"kind": "tensor", "shape": [4], "dtype": "int64", **bounds})
    told = card_of(folder)
    assert told.input == words
    assert told.inputs == (TensorSpec("input", "INT64", (-1, 4)),)


def served(folder: Path, *versions: str, default: str = "1.0") -> Served:
    """A tiny model with so many versions."""
    offered = []
    for version in versions:
        one = tiny_models.write(folder / version, "return x", version=version)
        offered.append(Offered(version, archive(one, folder), 27.0))
    return Served("tiny", default, tuple(offered))


def decoded(pages: Pages, path: str) -> Any:
    return json.loads(pages[path].body)


def test_pages_and_messages_of_two_versions(tmp_path: Path) -> None:
    pages, messages = described([served(tmp_path, "1.0", "2.0")], LIMIT)
    assert pages.keys() == {
        "/endpoints",
        "/openapi.json",
        "/v1/models",
        "/v2",
        "/v2/models/tiny",
        "/v2/models/tiny/versions/1.0",
        "/v2/models/tiny/versions/2.0",
    }
    (only,) = decoded(pages, "/endpoints")["endpoints"]
    assert (only["version"], only["versions"]) == ("1.0", ["1.0", "2.0"])
    assert decoded(pages, "/v1/models") == {"models": ["tiny"]}
    assert decoded(pages, "/v2") == {
        "name": "pthserve",
        "version": "0.1.0",
        "extensions": ["binary_tensor_data"],
    }
    assert messages.keys() == {
        "ServerMetadata",
        "ModelMetadata/tiny",
        "ModelMetadata/tiny/1.0",
        "ModelMetadata/tiny/2.0",
    }


def test_metadata_is_the_same_as_json_and_as_message(tmp_path: Path) -> None:
    pages, messages = described([served(tmp_path, "1.0")], LIMIT)
    told = decoded(pages, "/v2/models/tiny")
    message = oip_messages.ModelMetadataResponse.FromString(messages["ModelMetadata/tiny"])
    assert told["platform"] == message.platform == "pytorch_eager"
    assert told["versions"] == list(message.versions) == ["1.0"]
    (only,) = message.inputs
    assert {"name": only.name, "datatype": only.datatype, "shape": list(only.shape)} == told["inputs"][0]
    assert message.properties["task"] == told["parameters"]["task"] == "tensor"
    assert json.loads(message.properties["checkpoint"]) == told["parameters"]["checkpoint"]
    server = oip_messages.ServerMetadataResponse.FromString(messages["ServerMetadata"])
    assert (server.name, list(server.extensions)) == ("pthserve", ["binary_tensor_data"])


def test_samples_are_pages_as_they_are(tmp_path: Path) -> None:
    folder = copied("diabetes", tmp_path)
    model = Served("diabetes", "1.0", (Offered("1.0", archive(folder, tmp_path), 27.0),))
    page = described([model], LIMIT)[0]["/samples/diabetes/1.0/0"]
    assert page.content_type == "application/json"
    assert page.body == (folder / "samples" / "patient1.json").read_bytes()


def test_what_has_no_default_is_reached_by_its_version_alone(tmp_path: Path) -> None:
    pages, messages = described([served(tmp_path, "1.0", default="")], LIMIT)
    assert decoded(pages, "/endpoints") == {"endpoints": []}
    assert "/v2/models/tiny" not in pages
    assert "/v2/models/tiny/versions/1.0" in pages
    assert "ModelMetadata/tiny" not in messages


def test_what_is_no_archive_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "no.mar").write_bytes(b"no zip")
    offered = Offered("1.0", tmp_path / "no.mar", 27.0), Offered("2.0", tmp_path / "absent.mar", 27.0)
    pages, _ = described([Served("tiny", "1.0", offered)], LIMIT)
    assert decoded(pages, "/endpoints") == {"endpoints": []}


def test_nothing_is_made_anew_until_something_changes(tmp_path: Path) -> None:
    model = served(tmp_path, "1.0")
    before = described([model], LIMIT)
    assert described([model], LIMIT) is before
    told = msgspec.structs.replace(model.versions[0], execution=Execution("openvino"))
    after, _ = described([msgspec.structs.replace(model, versions=(told,))], LIMIT)
    assert decoded(after, "/endpoints")["endpoints"][0]["runtime"]["executes"] == "openvino"


def test_an_archive_that_was_removed_is_remembered_and_one_in_its_place_is_read(tmp_path: Path) -> None:
    model = served(tmp_path, "1.0")
    before, _ = described([model], LIMIT)
    model.versions[0].archive.unlink()
    assert described([model], LIMIT)[0] == before
    archive(changed(tmp_path / "1.0", description="another"), tmp_path)
    after, _ = described([model], LIMIT)
    assert decoded(after, "/endpoints")["endpoints"][0]["description"] == "another"


def test_the_supervisor_needs_no_torch_for_it() -> None:
    code = "import sys; import scripts.describing.pages; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_an_older_archive_offers_predictions_alone(tmp_path: Path) -> None:
    folder = copied("diabetes", tmp_path)
    path = archive(folder, tmp_path, old=True)
    offered = Served("diabetes", "1.0", (Offered("1.0", path, 27.0),))
    pages, _ = described([offered], LIMIT)
    (told,) = json.loads(pages["/endpoints"].body)["endpoints"]
    assert told["routes"] == {"predict": "/predictions/diabetes", "kserve_v1": None, "oip": None}
    paths = json.loads(pages["/openapi.json"].body)["paths"]
    assert "/predictions/diabetes" in paths
    assert not any("infer" in path or ":predict" in path for path in paths)


@pytest.mark.parametrize("broken", ["labels", "sample", "decision"])
def test_what_cannot_be_described_takes_nobody_along(tmp_path: Path, broken: str) -> None:
    """Whatever stands in an archive that somebody registers: the supervisor tells of the others."""
    ours = Served("diabetes", "1.0", (Offered("1.0", archive(copied("diabetes", tmp_path), tmp_path), 27.0),))
    folder = copied("digits_mlp", tmp_path)
    if broken == "labels":
        (folder / "labels.txt").write_text("zero\n", encoding="utf-8")
    elif broken == "sample":
        (folder / "samples" / "five.json").write_text('{"input": [1, 2', encoding="utf-8")
    else:
        (folder / "optimised").mkdir()
        (folder / "optimised" / "decision.json").write_bytes(b'{"chosen": "\xff"}')
    theirs = Served("digits_mlp", "1.0", (Offered("1.0", archive(folder, tmp_path), 27.0),))
    pages, messages = described([ours, theirs], LIMIT)
    assert "/v2/models/diabetes" in pages
    assert "ModelMetadata/diabetes" in messages
    assert ("/v2/models/digits_mlp" in pages) == (broken == "decision")


def test_what_is_no_longer_served_is_forgotten(tmp_path: Path) -> None:
    path = archive(copied("diabetes", tmp_path), tmp_path)
    before = archived(path)
    described([Served("diabetes", "1.0", (Offered("1.0", path, 27.0),))], LIMIT)
    assert archived(path) is before
    described([], LIMIT)
    assert archived(path) is not before
