"""Clients that nobody here wrote against a real endpoint: tritonclient's and kserve's, by REST and gRPC.

Each has to be told the same as /predictions tells, to the last digit.
"""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scripts.places import ROOT
from scripts.processes.children import bare_environment
from tests.server.running import Running

FOLDER = ROOT / "tests" / "foreign"


def ask(foreign_python: Path, server: Running, **task: Any) -> dict[str, Any]:
    url = server.config.gateway.url
    task |= {"url": url, "grpc": url.partition("//")[2], "version": "1.0", "absent": "nothing"}
    found: dict[str, Any] = {}
    for script in ("triton.py", "kserve_clients.py"):  # apart: both bring the protocol's messages
        done = subprocess.run(
            [foreign_python, FOLDER / script, json.dumps(task)],
            env=bare_environment(),
            cwd=FOLDER,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        found |= json.loads(done.stdout)
    return found


def answers(server: Running, name: str, items: list[Any]) -> list[Any]:
    """By /predictions, in one request too: a network's last digits depend on how many it is given at once."""
    body = json.dumps(items).encode()
    found: list[Any] = server.inference.predict(name, body).json()["answers"]
    return found


@pytest.fixture(scope="module")
def pictures(foreign_python: Path, server: Running) -> tuple[dict[str, Any], list[Any]]:
    """What is told of three digits, and what /predictions tells of each."""
    samples = ROOT / "models" / "digits_cnn" / "samples"
    bodies = [(samples / name).read_bytes() for name in ("seven.png", "three.png", "four.png")]
    values = [base64.b64encode(body).decode() for body in bodies]
    given = {"name": "image", "datatype": "BYTES", "values": values}
    instances = [{"b64": value} for value in values]
    found = ask(foreign_python, server, name="digits_cnn", inputs=given, instances=instances, some=["score"])
    return found, answers(server, "digits_cnn", instances)


@pytest.fixture(scope="module")
def numbers(foreign_python: Path, server: Running) -> tuple[dict[str, Any], list[Any]]:
    """The same of four patients."""
    rows = np.random.default_rng(6).normal(0, 0.05, (4, 10)).astype(np.float32).tolist()
    given = {"name": "input", "datatype": "FP32", "values": rows}
    found = ask(foreign_python, server, name="diabetes", inputs=given, instances=rows, some=["values"])
    return found, answers(server, "diabetes", rows)


def as_float32(values: Any) -> Any:
    return np.asarray(values, dtype=np.float32).tolist()


def classified(told: dict[str, Any], expected: list[Any]) -> None:
    assert told["id"] == "asked"
    outputs = told["outputs"]
    assert set(outputs) == {"label", "index", "score"}
    for row, answer in enumerate(expected):
        best = answer["predictions"]
        assert outputs["label"][row] == [one["label"] for one in best]
        assert outputs["index"][row] == [one["index"] for one in best]
        assert as_float32(outputs["score"][row]) == as_float32([one["score"] for one in best])


def regressed(told: dict[str, Any], expected: list[Any]) -> None:
    assert (told["id"], set(told["outputs"])) == ("asked", {"values"})
    assert as_float32(told["outputs"]["values"]) == as_float32([one["values"] for one in expected])


WAYS = (
    ("triton http", "infer"),
    ("triton http", "infer of a version"),
    ("triton http json", "infer"),
    ("triton grpc", "infer"),
    ("triton grpc", "infer of a version"),
    ("kserve rest", "infer"),
    ("kserve rest", "binary"),
    ("kserve grpc", "infer"),
)


@pytest.mark.parametrize(("client", "call"), WAYS)
def test_pictures_are_answered_as_by_predictions(
    pictures: tuple[dict[str, Any], list[Any]], client: str, call: str
) -> None:
    found, expected = pictures
    classified(found[client][call], expected)


@pytest.mark.parametrize(("client", "call"), [*WAYS, ("kserve grpc", "typed")])
def test_numbers_are_answered_as_by_predictions(
    numbers: tuple[dict[str, Any], list[Any]], client: str, call: str
) -> None:
    found, expected = numbers
    regressed(found[client][call], expected)


def test_the_first_protocol_of_kserve(
    pictures: tuple[dict[str, Any], list[Any]], numbers: tuple[dict[str, Any], list[Any]]
) -> None:
    shapes = "[3, 28, 28]", "[10]"
    for (found, expected), shape in zip((pictures, numbers), shapes, strict=True):
        told = found["kserve rest"]
        assert told["v1"] == {"predictions": expected}
        assert told["v1 model ready"] is True
        assert "400 Bad Request" in told["v1 wrong"]
        assert f"one item has the shape {shape}" in told["v1 wrong"]


@pytest.mark.parametrize("client", ["triton http", "triton grpc", "kserve rest", "kserve grpc"])
def test_health_and_readiness(pictures: tuple[dict[str, Any], list[Any]], client: str) -> None:
    told = pictures[0][client]
    assert [told[key] for key in ("live", "ready", "model ready", "absent ready")] == [
        True,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("client", ["triton http", "triton grpc"])
def test_some_outputs_of_several(pictures: tuple[dict[str, Any], list[Any]], client: str) -> None:
    assert set(pictures[0][client]["some outputs"]["outputs"]) == {"score"}


@pytest.mark.parametrize("client", ["triton http", "triton grpc"])
def test_metadata_names_what_is_sent_and_answered(
    pictures: tuple[dict[str, Any], list[Any]], numbers: tuple[dict[str, Any], list[Any]], client: str
) -> None:
    assert pictures[0][client]["server"]["name"] == "pthserve"
    told = pictures[0][client]["metadata"]
    assert (told["name"], told["versions"]) == ("digits_cnn", ["1.0"])
    assert [(one["name"], one["datatype"]) for one in told["inputs"]] == [
        ("image", "BYTES"),
        ("input", "FP32"),
    ]
    assert [(one["name"], one["datatype"]) for one in told["outputs"]] == [
        ("label", "BYTES"),
        ("index", "INT64"),
        ("score", "FP32"),
    ]
    told = numbers[0][client]["metadata of a version"]
    (given,) = told["inputs"]
    assert (given["name"], given["datatype"], [int(size) for size in given["shape"]]) == (
        "input",
        "FP32",
        [-1, 10],
    )
    (output,) = told["outputs"]
    assert (output["name"], [int(size) for size in output["shape"]]) == ("values", [-1, 1])


def test_refusals_have_the_right_status(pictures: tuple[dict[str, Any], list[Any]]) -> None:
    found, _ = pictures
    for client, absent, wrong in (
        ("triton http", "404", "400"),
        ("triton grpc", "StatusCode.NOT_FOUND", "StatusCode.INVALID_ARGUMENT"),
    ):
        assert found[client]["absent"][0] == absent
        assert "nothing" in found[client]["absent"][1]
        assert found[client]["absent metadata"][0] == absent
        assert found[client]["wrong input"][0] == wrong
        assert "nonsense" in found[client]["wrong input"][1]
    assert found["kserve grpc"]["absent"] == "NOT_FOUND"
