"""status: what is wrong with this node, in words and as an exit status."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from scripts.errors import CommandError
from scripts.places import Places
from scripts.state import durable, observed
from scripts.state.observed import Observed, SeenModel, SeenShare, SeenVersion
from scripts.status import problems_of, status
from tests.states import model, printed, seen, store

READY = SeenVersion("ready", 1, 1)


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Places]:
    found = Places(state=tmp_path / "state")
    store(found, a=model("1.0"), b=model("1.0"), paused=model("1.0", paused=True))
    with durable.locked(found.supervisor_lock):
        yield found


def told(places: Places, shown: Observed, *names: str, ready: bool = False) -> tuple[int, list[str]]:
    """(exit status, lines)"""
    observed.publish(places, shown)
    console = Console(file=io.StringIO(), width=40)
    return status(places, ready, names, console), printed(console).splitlines()


def node(**versions: SeenVersion) -> Observed:
    """Models of one version."""
    return seen(1, **{name: SeenModel("1.0", {"1.0": one}) for name, one in versions.items()})


def test_where_all_that_is_wanted_answers_all_is_well(places: Places) -> None:
    code, lines = told(places, node(a=READY, b=READY))
    assert code == 0
    assert lines[0].startswith("serving: TorchServe up, gateway on http://127.0.0.1:1, supervisor ")
    assert lines[1:] == ["wanted: revision 1, 2 models", "all that is wanted answers"]
    assert told(places, node(a=READY, b=READY), ready=True) == (0, [])


def test_what_is_assumed_is_said_and_no_problem(places: Places) -> None:
    assumed = SeenVersion("ready", 1, 1, assumed=("input", "output"))
    code, lines = told(places, node(a=assumed, b=READY))
    assert code == 0
    assert lines[-2:] == [
        "all that is wanted answers",
        "a 1.0: assumed and not proven: input, output; see scripts/pthserve check a",
    ]
    assert told(places, node(a=assumed, b=READY), ready=True) == (0, [])


def test_what_failed_is_named_with_its_reason_and_its_next_try(places: Places) -> None:
    failed = SeenVersion("failed", 1, reason="SampleMismatch: seven is 9", attempts=3, retry_in=20)
    line = "a 1.0 failed (3 tries, next in 20 s): SampleMismatch: seven is 9"
    code, lines = told(places, node(a=failed, b=READY))
    assert (code, lines[2:]) == (1, [line])
    assert told(places, node(a=failed, b=READY), ready=True) == (1, [line])


@pytest.mark.parametrize("state", ["waiting", "loading", "recovering"])
def test_what_cant_answer_yet_is_named_with_its_state(places: Places, state: str) -> None:
    shown = node(a=msgspec.convert({"state": state, "wanted": 1}, SeenVersion), b=READY)
    assert told(places, shown, ready=True) == (1, [f"a 1.0 is {state}"])


def test_fewer_workers_than_wanted_are_named(places: Places) -> None:
    code, lines = told(places, node(a=SeenVersion("ready", 3, 2), b=READY))
    assert (code, lines[2:]) == (1, ["a 1.0: 2 of 3 workers READY"])


@pytest.mark.parametrize("beside", [{}, {"2.0": SeenVersion("failed", 1)}])
def test_a_model_that_answers_is_ready(places: Places, beside: dict[str, SeenVersion]) -> None:
    shown = seen(1, a=SeenModel("1.0", {"1.0": SeenVersion("ready", 3, 2), **beside}))
    assert told(places, shown, "a", ready=True)[0] == 0


def test_a_model_that_is_being_unregistered_is_not_ready(places: Places) -> None:
    shown = seen(1, a=SeenModel("", {"1.0": SeenVersion("leaving", 1, 1)}))
    assert told(places, shown, "a", ready=True)[0] == 1


def test_a_version_that_leaves_beside_the_default_is_no_problem() -> None:
    shown = seen(1, a=SeenModel("2.0", {"1.0": SeenVersion("leaving", 1), "2.0": READY}))
    assert problems_of(shown, "a") == []


def test_only_the_named_models_count(places: Places) -> None:
    shown = node(a=READY, b=SeenVersion("loading", 1))
    assert told(places, shown, "a", ready=True) == (0, [])
    assert told(places, shown, "b", ready=True) == (1, ["b 1.0 is loading"])
    assert told(places, shown, "c", ready=True) == (1, ["c isn't registered"])


def test_what_is_wanted_and_not_there_is_a_problem(places: Places) -> None:
    assert told(places, node(a=READY), ready=True) == (1, ["b isn't registered"])


def test_a_torchserve_that_is_down_is_said_first(places: Places) -> None:
    shown = msgspec.structs.replace(node(a=READY, b=READY), torchserve=False)
    assert told(places, shown, ready=True) == (1, ["TorchServe isn't up; it is being started"])
    assert "TorchServe down" in told(places, shown)[1][0]


def test_a_node_that_stops_is_not_ready(places: Places) -> None:
    shown = msgspec.structs.replace(node(a=READY, b=READY), phase="stopping")
    assert told(places, shown, ready=True)[0] == 1


def test_a_revision_that_wasnt_taken_in_yet_is_said(places: Places) -> None:
    store(places, a=model("1.0"))
    lines = told(places, node(a=READY))[1]
    assert lines[1] == "wanted: revision 2, taken in 1, 1 models"


def test_without_a_gateway_it_is_said(places: Places) -> None:
    shown = msgspec.structs.replace(node(a=READY, b=READY), gateway=False)
    assert "no gateway, TorchServe on http://127.0.0.1:1" in told(places, shown)[1][0]


def test_without_a_supervisor_there_is_no_status(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no supervisor"):
        status(Places(state=tmp_path), True, [], Console(file=io.StringIO()))


def test_a_node_that_starts_is_ready_for_those_who_name_what_answers(places: Places) -> None:
    shown = msgspec.structs.replace(node(a=READY, b=READY), phase="starting")
    assert told(places, shown, ready=True) == (1, ["the node is starting"])
    assert told(places, shown, "a", ready=True) == (0, [])


def test_canary_and_shadow_are_told_and_no_problem(places: Places) -> None:
    shares = SeenShare("2.0", 5.0), SeenShare("2.0", 100.0)
    beside = SeenModel("1.0", {"1.0": READY, "2.0": READY}, *shares)
    shown = seen(1, a=beside, b=SeenModel("1.0", {"1.0": READY}))
    code, lines = told(places, shown)
    assert code == 0
    assert lines[-3:] == ["all that is wanted answers", "a: canary 2.0 5%", "a: shadow 2.0 100%"]
