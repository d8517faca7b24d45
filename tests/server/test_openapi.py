"""The API's description against the server that it describes: generated requests, and its own examples."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.checks import FailureGroup, not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.server.running import Running

pytestmark = pytest.mark.server

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]

FEW, MANY = 2, 12
"""Generated requests of an operation; many where bodies are read, and not by a second way to the same."""


class Described:
    """A server, and what it tells of itself."""

    def __init__(self, url: str, session: requests.Session) -> None:
        self.url = url
        self.session = session
        answer = session.get(f"{url}/openapi.json", timeout=30)
        assert answer.status_code == 200, answer.text
        whole = answer.text.replace('"externalValue":"/', f'"externalValue":"{url}/')
        self.schema = schemathesis.openapi.from_dict(json.loads(whole))
        self.document: dict[str, Any] = answer.json()

    def operations(self) -> Iterator[Any]:
        for found in self.schema.get_all_operations():
            yield found.ok()

    def body(self, kind: str, reference: dict[str, str]) -> dict[str, Any]:
        """The content that an operation refers to."""
        key = reference["$ref"].rpartition("/")[2]
        found: dict[str, Any] = self.document["components"][kind][key]["content"]
        return found


@pytest.fixture(scope="module")
def told(server: Running) -> Iterator[Described]:
    with requests.Session() as session:
        session.trust_env = False
        yield Described(server.config.gateway.url, session)


def generated(told: Described, operation: Any, most: int) -> Counter[int]:
    """How many answers there were of each status; raises what schemathesis finds wrong with one."""
    seen: Counter[int] = Counter()

    @seed(1)
    @settings(
        max_examples=most,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        if case.media_type == "application/json" and case.headers:
            case.headers.pop("Inference-Header-Content-Length", None)  # of other bodies
        answer = case.call(base_url=told.url, session=told.session)
        seen[answer.status_code] += 1
        case.validate_response(answer, checks=CHECKS)

    ask()
    return seen


def test_generated_requests_get_answers_as_described(told: Described) -> None:
    cards = told.session.get(f"{told.url}/endpoints", timeout=30).json()["endpoints"]
    routes = {path for one in cards for path in one["routes"].values()}
    wrong, seen = [], Counter[int]()
    for operation in told.operations():
        often = operation.method == "post" and operation.path in routes
        try:
            seen += generated(told, operation, MANY if often else FEW)
        except (Exception, FailureGroup) as error:  # a group is a BaseException
            wrong.append(f"{operation.method.upper()} {operation.path}: {error}"[:2000])
    assert not wrong, "\n\n".join(wrong)
    assert seen[200] > 100
    assert seen[400] > 20, "no wrong request was generated"


def test_every_question_that_is_described_has_an_answer(told: Described) -> None:
    asked = [path for path, item in told.document["paths"].items() if "get" in item]
    answers = {path: told.session.get(told.url + path, timeout=30) for path in asked}
    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(asked, 200)
    for path, answer in answers.items():
        content = told.document["paths"][path]["get"]["responses"]["200"]["content"]
        assert answer.headers["content-type"].partition(";")[0] in content, path


def test_examples_in_the_description_are_answered_as_it_says(told: Described) -> None:
    compared = 0
    for path, item in told.document["paths"].items():
        if "post" not in item:
            continue
        sent = told.body("requestBodies", item["post"]["requestBody"])["application/json"]
        answers = told.body("responses", item["post"]["responses"]["200"])["application/json"]
        for name, example in sent.get("examples", {}).items():
            answer = told.session.post(told.url + path, json=example["value"], timeout=60)
            assert answer.status_code == 200, f"{path} {name}: {answer.text}"
            if name in answers.get("examples", {}):
                assert alike(answer.json(), answers["examples"][name]["value"]), (
                    f"{path} {name}: {answer.text}"
                )
                compared += 1
    assert compared > 10


def test_samples_that_the_description_points_at_are_answered(told: Described) -> None:
    seen = 0
    for path, item in told.document["paths"].items():
        if "post" not in item:
            continue
        for kind, content in told.body("requestBodies", item["post"]["requestBody"]).items():
            for example in content.get("examples", {}).values():
                if "externalValue" not in example:
                    continue
                sample = told.session.get(told.url + example["externalValue"], timeout=30)
                assert sample.headers["content-type"] == kind
                answer = told.session.post(
                    told.url + path, sample.content, headers={"content-type": kind}, timeout=60
                )
                assert answer.status_code == 200, answer.text
                seen += 1
    assert seen > 5


def alike(got: Any, expected: Any) -> bool:
    """The same but for numbers, which are rounded in the description, and for ties of next to nothing."""
    match expected:
        case dict():
            return got.keys() == expected.keys() and all(alike(got[key], expected[key]) for key in expected)
        case [{"label": label}, *_]:
            return bool(got[0]["label"] == label)
        case list():
            return len(got) == len(expected) and all(map(alike, got, expected))
        case float() | int():
            return bool(got == pytest.approx(expected, rel=1e-2, abs=1e-3))
        case _:
            return bool(got == expected)
