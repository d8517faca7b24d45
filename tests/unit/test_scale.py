"""scale: another number of workers, or the one that there was."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from scripts.errors import CommandError
from scripts.places import Places
from scripts.scale import scale, scaled
from scripts.state import asking, wanted
from scripts.state.admission import MARGIN
from scripts.state.observed import SeenModel, SeenVersion
from tests.fakes import Clock
from tests.states import Follower, model, pack, printed, seen, state, store


@pytest.fixture
def places(tmp_path: Path) -> Places:
    found = Places(store=tmp_path / "store", state=tmp_path / "state")
    pack(found.store, "a", workers=2)
    store(found, a=model("1.0", "2.0", workers=2))
    return found


def workers(places: Places) -> int:
    return wanted.load(places).models["a"].versions["1.0"].workers


def stubborn(name: str, number: str, one: SeenVersion | None) -> SeenVersion | None:
    """It has its two workers, whatever is wanted."""
    return SeenVersion("ready", one.wanted, 2) if one is not None else None


@pytest.mark.usefixtures("follower")
@pytest.mark.parametrize("number", [1, 5])
def test_the_default_has_another_number_of_workers_and_no_other_version(
    places: Places, console: Console, number: int
) -> None:
    assert scale(places, "a", number, 60, console) == 0
    assert {key: one.workers for key, one in wanted.load(places).models["a"].versions.items()} == {
        "1.0": number,
        "2.0": 2,
    }
    assert printed(console) == f"✓ a 1.0: {number} workers READY\n"


@pytest.mark.usefixtures("follower")
def test_the_same_number_is_said_and_changes_nothing(places: Places, console: Console) -> None:
    assert scale(places, "a", 2, 60, console) == 0
    assert printed(console) == "a 1.0 has 2 workers already\n"
    assert wanted.load(places).revision == 1


def test_more_that_dont_come_are_taken_back(
    places: Places, follower: Follower, console: Console, clock: Clock
) -> None:
    follower.tweak, begun = stubborn, clock.now
    with pytest.raises(CommandError, match="they didn't become READY; it keeps its 2; see"):
        scale(places, "a", 5, 1, console)
    assert workers(places) == 2
    assert clock.now - begun >= 120 + MARGIN, "the recipe's startupTimeout, not the patience for fewer"


def test_fewer_are_taken_back_when_it_is_never_idle(
    places: Places, follower: Follower, console: Console, clock: Clock
) -> None:
    follower.tweak, begun = stubborn, clock.now
    with pytest.raises(CommandError, match="after 7 s it was never idle; it keeps its 2; try when"):
        scale(places, "a", 1, 7, console)
    assert workers(places) == 2
    assert 7 <= clock.now - begun < 8


@pytest.mark.usefixtures("follower")
def test_a_model_that_isnt_there_is_told_with_the_remedy(places: Places, console: Console) -> None:
    with pytest.raises(CommandError, match="b isn't registered; scripts/pthserve register b"):
        scale(places, "b", 2, 60, console)


def test_a_default_that_is_on_its_way_out_is_told(
    places: Places, follower: Follower, console: Console
) -> None:
    store(places, a=model("2.0"))
    there = seen(2, a=SeenModel("1.0", {"1.0": SeenVersion("ready", 2, 2), "2.0": SeenVersion("loading", 2)}))
    asking.observed.publish(places, there)
    with pytest.raises(CommandError):
        scale(places, "a", 3, 60, console)


def test_only_the_workers_of_one_version_change() -> None:
    before = state(3, a=model("1.0", "2.0", previous=("0.9",)), b=model("1.0"))
    after = scaled(before, "a", "2.0", 9)
    assert after.models["a"].versions["2.0"].workers == 9
    assert scaled(after, "a", "2.0", 1) == before
