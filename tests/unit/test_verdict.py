"""What verify says of answers that differ, are missing, or are refused."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from handlers import recipe, tasks
from scripts.calling.refused import Refused
from scripts.proof.verdict import Answers, Reference, Verdict, judge, print_verdict
from tests import tiny_models

SAMPLES = [
    {"input": "one.json", "expect": [1.0]},
    {"input": "two.json", "expect": [2.0], "tolerance": {"absolute": 0.5, "relative": 0.0}},
]


@pytest.fixture
def reference(tmp_path: Path) -> Reference:
    tiny_models.write(tmp_path, "return x", task="regress", samples=SAMPLES)
    found = recipe.load(tmp_path)
    inputs = [tmp_path / "one.json", tmp_path / "two.json", tmp_path / "file.json"]
    return Reference("local", found, tmp_path, inputs)


def values(*each: float) -> list[bytes | Refused]:
    return [b'{"values":[%r]}' % one for one in each]


def verdict(reference: Reference, *ways: Answers) -> Verdict:
    task = tasks.open_task(reference.recipe.handler, reference.folder)
    return judge("tiny", "1.0", ways, reference, task, ["a note"])


def printed(found: Verdict) -> list[str]:
    text = io.StringIO()
    print_verdict(found, Console(file=text, width=300))
    return text.getvalue().splitlines()


LOCAL = Answers("local", values(1.0, 2.0, 3.0))


def test_ways_that_agree_pass(reference: Reference) -> None:
    found = verdict(reference, LOCAL, Answers("rest", values(1.00001, 2.25, 3.0)))
    assert found.failures == []
    rest = found.ways[1]
    assert (rest.answered, rest.from_expect, rest.from_reference) == (3, 0.25, 0.25)
    assert printed(found)[-1] == "✓ every way answers alike, within the tolerance"
    assert "NOTE: a note" in printed(found)


def test_a_difference_is_told_with_its_sample_and_its_way(reference: Reference) -> None:
    found = verdict(reference, LOCAL, Answers("rest", values(1.1, 2.0, 3.0)))
    assert [(one.way, one.input) for one in found.failures] == [("rest", "one.json")] * 2
    assert "✗ rest, one.json: values[0] is 1.1, expected 1" in printed(found)
    assert "✗ rest, one.json: values[0] is 1.1, local says 1" in printed(found)


def test_a_file_has_the_widest_tolerance_of_the_samples(reference: Reference) -> None:
    assert not verdict(reference, LOCAL, Answers("rest", values(1.0, 2.0, 3.4))).failures
    assert verdict(reference, LOCAL, Answers("rest", values(1.0, 2.0, 3.6))).failures


def test_a_way_that_cannot_answer_fails_and_the_others_are_compared(reference: Reference) -> None:
    found = verdict(reference, LOCAL, Answers("grpc", problem="no server"))
    assert [(one.way, one.problem) for one in found.failures] == [("grpc", "no server")]
    assert printed(found)[4].split() == ["grpc", "0", "of", "3", "-", "-"]


def test_a_refused_input_fails(reference: Reference) -> None:
    answers = [*values(1.0, 2.0), Refused("no picture", status=400)]
    found = verdict(reference, LOCAL, Answers("rest", answers))
    assert [one.problem for one in found.failures] == ["refused: no picture"]
    assert found.ways[1].answered == 2


def test_where_the_reference_cannot_answer_the_samples_expectations_are_left(reference: Reference) -> None:
    found = verdict(reference, Answers("local", problem="no weights"), Answers("rest", values(1.0, 2.0, 3.0)))
    assert [one.way for one in found.failures] == ["local"]
    assert (found.ways[1].from_expect, found.ways[1].from_reference) == (0.0, None)


def test_the_replay_s_own_words_stand_for_the_way_s_samples(reference: Reference) -> None:
    found = verdict(reference, Answers("local", values(9.0, 2.0, 3.0), mismatch="sample one.json differs"))
    assert [one.problem for one in found.failures] == ["sample one.json differs"]


def test_more_than_a_few_failures_are_a_number(reference: Reference) -> None:
    found = verdict(reference, LOCAL, Answers("rest", values(9.0, 9.0, 9.0)))
    assert len(found.failures) == 5
    assert "✗ rest: 2 more, which --json lists" in printed(found)
