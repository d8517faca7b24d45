"""list: a line for each version, and the same for programs."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from scripts import listing
from scripts.errors import CommandError
from scripts.places import Places
from scripts.state import durable, observed
from scripts.state.observed import SeenModel, SeenShare, SeenVersion
from tests.states import printed, seen

FULL = SeenVersion(
    "ready",
    2,
    1,
    queue=3,
    active=4,
    memory=300 * 2**20,
    device="cpu",
    runtime="eager",
    samples="3 passed",
    assumed=("input", "output"),
)


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Places]:
    found = Places(state=tmp_path / "state")
    with durable.locked(found.supervisor_lock):
        models = {"b": SeenModel("", {"1.0": SeenVersion("failed", 1)}), "a": SeenModel("2.0", {"2.0": FULL})}
        observed.publish(found, seen(1, **models))
        yield found


def test_every_version_has_a_line_with_what_it_does(places: Places) -> None:
    console = Console(file=io.StringIO(), width=40)
    assert listing.list_models(places, False, console) == 0
    heading, first, second = printed(console).splitlines()
    assert tuple(heading.split()) == listing.COLUMNS
    assert " ".join(first.split()) == "a 2.0 yes ready 1 of 2 cpu 3 4 300 MiB eager 3 passed input, output"
    assert " ".join(second.split()) == "b 1.0 failed 0 of 1 0 - - - -"
    assert heading.index("workers") == first.index("1 of 2") == second.index("0 of 1")


def test_a_line_has_all_columns() -> None:
    assert len(listing.row(FULL)) + 3 == len(listing.COLUMNS)


def test_programs_get_all_that_is_seen(places: Places, capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(file=io.StringIO())
    assert listing.list_models(places, True, console) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["a"]["versions"]["2.0"]["active"] == 4
    assert found["a"]["versions"]["2.0"]["assumed"] == ["input", "output"]
    assert found["b"]["default"] == ""
    assert printed(console) == ""


def test_without_a_supervisor_there_is_nothing_to_list(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no supervisor"):
        listing.list_models(Places(state=tmp_path), False, Console(file=io.StringIO()))


def test_what_gets_a_share_beside_the_default_says_so(places: Places) -> None:
    ready = {"1.0": FULL, "2.0": FULL, "3.0": FULL}
    shares = SeenShare("2.0", 5.0), SeenShare("3.0", 0.5)
    observed.publish(places, seen(1, a=SeenModel("1.0", ready, *shares)))
    console = Console(file=io.StringIO(), width=40)
    listing.list_models(places, False, console)
    _, *lines = printed(console).splitlines()
    assert [" ".join(line.split()).partition(" ready")[0] for line in lines] == [
        "a 1.0 yes",
        "a 2.0 canary 5%",
        "a 3.0 shadow 0.5%",
    ]
