"""The API's description: valid, true to the wire, and complete."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from PIL import Image

from handlers import metering, wire
from handlers.errors import Refusal
from handlers.recipe import Model
from handlers.wire import Row
from handlers.wire.types import PROTOCOL
from scripts.describing import codes
from scripts.describing.archived import archived
from scripts.describing.examples import DOT
from scripts.describing.openapi import document
from scripts.describing.pages import Offered, Served, described
from scripts.gateway import mappers, replies
from scripts.gateway.replies import Reply
from tests import tiny_models
from tests.archives import archive
from tests.unit.test_describing import copied

NAMES = ("diabetes", "digits_cnn", "digits_mlp")

LIVE = {"/healthz", "/latency", "/ready", "/v2/health/live", "/v2/health/ready"}
"""What depends on the moment: the gateway's routes answer it."""


class Described:
    """Some models, and what is told of them."""

    def __init__(self, folder: Path, *folders: Path) -> None:
        archives = [archive(one, folder) for one in folders]
        self.models = [archived(path).model for path in archives]
        served = [
            Served(model.name, model.version, (Offered(model.version, path, 27.0),))
            for model, path in zip(self.models, archives, strict=True)
        ]
        self.pages, _ = described(served, 20_000_000)
        self.body = self.pages["/openapi.json"].body
        self.document: dict[str, Any] = json.loads(self.body)

    def content(self, kind: str, key: str) -> dict[str, Any]:
        found: dict[str, Any] = self.document["components"][kind][key]["content"]
        return found

    def validator(self, schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
        return jsonschema_rs.Draft202012Validator({**schema, "components": self.document["components"]})


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Described:
    folder = tmp_path_factory.mktemp("described")
    return Described(folder, *(copied(name, folder) for name in NAMES))


def made(folder: Path, **handler: Any) -> Described:
    return Described(folder, tiny_models.write(folder / "tiny", "return x", **handler))


def test_it_is_openapi(told: Described) -> None:
    whole = told.body.decode().replace('"externalValue":"/', '"externalValue":"http://localhost/')
    schema = schemathesis.openapi.from_dict(json.loads(whole))
    schema.validate()
    paths = {operation.ok().path for operation in schema.get_all_operations()}
    assert paths == told.document["paths"].keys()


def test_the_same_versions_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (made(tmp_path / word) for word in ("a", "b") if not (tmp_path / word).mkdir())
    assert first.body == second.body


def test_operations_have_names_of_their_own(told: Described) -> None:
    operations = [one for path in told.document["paths"].values() for one in path.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)


@pytest.mark.parametrize("name", NAMES)
def test_each_endpoint_has_its_entries_by_every_protocol(told: Described, name: str) -> None:
    paths = told.document["paths"]
    assert paths[f"/predictions/{name}"].keys() == {"post", "put"}
    for path in (f"/v1/models/{name}:predict", f"/v2/models/{name}/infer", f"/predictions/{name}/1.0"):
        assert {"200", "400", "401", "403", "404", "413", "429", "500", "503", "504"} <= set(
            paths[path]["post"]["responses"]
        )


def test_what_is_described_is_there(told: Described) -> None:
    paths = {path for path, item in told.document["paths"].items() if "get" in item}
    ready = {path for path in paths if path.startswith("/ready/") or path.endswith("/ready")}
    known = {path for path in paths if path.startswith("/v1/models/")}
    assert paths - LIVE - ready - known == told.pages.keys()


def examples(told: Described) -> Iterator[tuple[str, dict[str, Any], Any]]:
    """(where, schema, value) of all that stand in the description."""
    for kind in ("requestBodies", "responses"):
        for key, one in told.document["components"][kind].items():
            for content in one["content"].values():
                for name, example in content.get("examples", {}).items():
                    if "value" in example:
                        yield f"{key} {name}", content["schema"], example["value"]


def test_examples_fit_their_schemas(told: Described) -> None:
    seen = 0
    for where, schema, value in examples(told):
        errors = [error.message for error in told.validator(schema).iter_errors(value)]
        assert not errors, where
        seen += 1
    assert seen > 50


@pytest.mark.parametrize(("way", "protocol"), [("predict", ""), ("kserve", "kserve_v1"), ("infer", "oip")])
def test_examples_are_read_as_one_item_by_the_wire(told: Described, way: str, protocol: str) -> None:
    for model in told.models:
        content = told.content("requestBodies", f"{model.name}-{model.version}-{way}")["application/json"]
        for name, example in content["examples"].items():
            assert items(example["value"], model, protocol) == 1, f"{model.name} {name}"


def items(value: Any, model: Model, protocol: str) -> int:
    """How many good ones the wire finds in a JSON body."""
    headers = {"content-type": "application/json"} | ({PROTOCOL: protocol} if protocol else {})
    request = wire.read(Row({"body": json.dumps(value).encode()}, headers), model)
    return sum(not isinstance(one, Refusal) for one in request.items)


def test_samples_come_with_the_answers_of_those_who_trained(told: Described) -> None:
    answers = told.content("responses", "digits_cnn-1.0-predict")["application/json"]["examples"]
    first = answers["seven.png"]["value"]["predictions"]
    assert (first[0]["label"], first[0]["index"], first[0]["score"]) == ("seven", 7, 0.9999)
    assert [one["label"] for one in first] == ["seven", "nine", "four"]
    assert (
        "four.png" in told.content("requestBodies", "digits_cnn-1.0-predict")["application/json"]["examples"]
    )
    assert "four.png" not in answers  # of which the label alone is known
    patient = told.content("responses", "diabetes-1.0-kserve")["application/json"]["examples"][
        "patient3.json"
    ]
    assert patient["value"] == {"predictions": [{"values": [160.7], "names": ["progression"]}]}


def test_pictures_lie_at_their_own_paths(told: Described) -> None:
    content = told.content("requestBodies", "digits_cnn-1.0-predict")
    assert content["image/png"]["examples"]["four.png"]["externalValue"] in told.pages
    assert "examples" not in content["image/jpeg"]
    assert "multipart/form-data" in content
    assert "image/png" not in told.content("requestBodies", "diabetes-1.0-predict")


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ([1, 2], True),
        ({"input": [1, 2]}, True),
        ([[1, 2], [3, 4]], True),
        ([1], False),
        ([1, 2, 3], False),
        ([[1, 2], [3]], False),
        ([1, "2"], False),
        ([1, None], False),
        ({"input": []}, False),
        ({"image": {"b64": "AAAA"}}, False),
        ({"input": [1, 2], "more": 1}, False),
        ([[1, 2]] * 65, False),
    ],
)
def test_json_is_described_as_exactly_as_it_is_read(tmp_path: Path, value: Any, fits: bool) -> None:
    told = made(tmp_path)
    schema = told.content("requestBodies", "tiny-1.0-predict")["application/json"]["schema"]
    assert told.validator(schema).is_valid(value) is fits
    try:
        assert (items(value, told.models[0], "") > 0) is (fits or value == [[1, 2], [3]])
    except Refusal:
        assert not fits


def test_numbers_lie_in_the_models_range(tmp_path: Path) -> None:
    told = made(
        tmp_path, input={"kind": "tensor", "shape": [1], "dtype": "int64", "minimum": 0, "maximum": 9}
    )
    schema = told.content("requestBodies", "tiny-1.0-kserve")["application/json"]["schema"]
    validator = told.validator(schema)
    assert validator.is_valid({"instances": [[0], [9]]})
    assert not validator.is_valid({"instances": [[10]]})
    assert not validator.is_valid({"instances": [[0.5]]})


@pytest.mark.parametrize("value", [0.5, [0.5], {"input": [0.5]}])
def test_a_model_of_one_number_takes_it_bare(tmp_path: Path, value: Any) -> None:
    told = made(tmp_path, input={"kind": "tensor", "shape": [1]})
    schema = told.content("requestBodies", "tiny-1.0-kserve")["application/json"]["schema"]
    assert told.validator(schema).is_valid({"instances": [value]})
    assert items({"instances": [value]}, told.models[0], "kserve_v1") == 1


def test_outputs_that_can_be_asked_for_are_named(tmp_path: Path) -> None:
    told = made(tmp_path)
    schema = told.content("requestBodies", "tiny-1.0-infer")["application/json"]["schema"]
    tensor = {"name": "input", "datatype": "FP32", "shape": [2, 2], "data": [1, 2, 3, 4]}
    for name, fits in (("output", True), ("raw", True), ("label", False)):
        assert told.validator(schema).is_valid({"inputs": [tensor], "outputs": [{"name": name}]}) is fits


def test_what_float32_cant_hold_is_described_as_no_number(tmp_path: Path) -> None:
    told = made(tmp_path)
    validator = told.validator(
        told.content("requestBodies", "tiny-1.0-predict")["application/json"]["schema"]
    )
    assert validator.is_valid([1, 3.4e38])
    assert not validator.is_valid([1, 3.5e38])


def test_an_owners_own_task_answers_with_any_object(tmp_path: Path) -> None:
    told = made(tmp_path, task="task.py:Mine", task_py="class Mine: ...")
    schema = told.content("responses", "tiny-1.0-predict")["application/json"]["schema"]
    assert told.validator(schema).is_valid({"anything": [1]})
    assert not told.validator(schema).is_valid([1])


def test_a_model_whose_pictures_are_large_has_a_small_one_as_its_example(tmp_path: Path) -> None:
    told = made(tmp_path, input={"kind": "image", "resize": 8, "crop": 8})
    for way in ("predict", "kserve", "infer"):
        assert "dot" in told.content("requestBodies", f"tiny-1.0-{way}")["application/json"]["examples"]
    with Image.open(io.BytesIO(base64.b64decode(DOT))) as picture:
        picture.load()
        assert picture.size == (1, 1)


def test_two_versions_have_their_own_entries_and_one_of_them_the_models(tmp_path: Path) -> None:
    offered = [
        Offered(
            version,
            archive(tiny_models.write(tmp_path / version, "return x", version=version), tmp_path),
            27.0,
        )
        for version in ("1.0", "2.0")
    ]
    pages, _ = described([Served("tiny", "2.0", tuple(offered))], 1000)
    paths = json.loads(pages["/openapi.json"].body)["paths"]
    bodies = {
        path: paths[path]["post"]["requestBody"]["$ref"].rpartition("/")[2]
        for path in ("/predictions/tiny", "/predictions/tiny/1.0", "/predictions/tiny/2.0")
    }
    assert list(bodies.values()) == ["tiny-2.0-predict", "tiny-1.0-predict", "tiny-2.0-predict"]


def test_a_server_without_models_is_described_too() -> None:
    found = json.loads(document([]))
    schemathesis.openapi.from_dict(found).validate()
    assert found["paths"].keys() > LIVE


def test_every_code_of_a_worker_is_described() -> None:
    known = {code for of in codes.CODES.values() for code in of}
    assert metering.CODES - {"ok"} <= known


def test_every_reply_of_the_gateway_is_described_with_its_status() -> None:
    told = [one for one in vars(replies).values() if isinstance(one, Reply)]
    told += [one for _, one in mappers.envoys_own(1000)]
    told += [replies.not_ready("a", "1.0 is loading"), replies.not_all_ready({}), replies.too_large(1)]
    told += [replies.unknown_model("a"), replies.unknown_version("a", "2", ["1"])]
    refusals = [one for one in told if one.status >= 400]
    assert len(refusals) > 20
    for one in refusals:
        assert one.body["code"] in codes.CODES[one.status], one
