"""unregister: gone once what it has accepted is answered, or serving on."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from scripts.errors import CommandError
from scripts.places import Places
from scripts.state import wanted
from scripts.state.observed import SeenVersion
from scripts.unregister import marked, unregister, without
from tests.fakes import Clock
from tests.states import Follower, model, printed, state, store


@pytest.fixture
def places(tmp_path: Path) -> Places:
    found = Places(state=tmp_path / "state")
    store(found, a=model("1.0"), b=model("1.0", "2.0"))
    return found


@pytest.mark.usefixtures("follower")
def test_a_model_is_gone_and_remembered_as_unregistered(places: Places, console: Console) -> None:
    assert unregister(places, "a", None, 60, console) == 0
    after = wanted.load(places)
    assert after.models["a"].versions == {}
    assert list(after.serving()) == ["b"]
    assert printed(console) == "✓ a: unregistered\n"


@pytest.mark.usefixtures("follower")
def test_one_version_goes_and_the_default_stays(places: Places, console: Console) -> None:
    assert unregister(places, "b", "2.0", 60, console) == 0
    assert wanted.load(places).models["b"] == model("1.0")


@pytest.mark.usefixtures("follower")
def test_the_only_version_may_be_named(places: Places, console: Console) -> None:
    assert unregister(places, "a", "1.0", 60, console) == 0
    assert "a" not in wanted.load(places).serving()


@pytest.mark.usefixtures("follower")
def test_with_another_version_beside_it_the_default_stays(places: Places, console: Console) -> None:
    with pytest.raises(CommandError, match=r"1\.0 is the default of b; first scripts/pthserve promote b"):
        unregister(places, "b", "1.0", 60, console)
    assert wanted.load(places).revision == 1


@pytest.mark.usefixtures("follower")
def test_all_versions_of_a_model_go_together(places: Places, console: Console) -> None:
    assert unregister(places, "b", None, 60, console) == 0
    assert wanted.load(places).models["b"].versions == {}


def test_past_its_deadline_it_serves_on(
    places: Places, follower: Follower, console: Console, clock: Clock
) -> None:
    before, begun = wanted.load(places).models, clock.now
    follower.tweak = lambda name, number, one: one or SeenVersion("leaving", 1, 1, active=1)
    with pytest.raises(CommandError, match="a has requests in flight after 7 s, and serves on; try again"):
        unregister(places, "a", None, 7, console)
    assert wanted.load(places).models == before
    assert 7 <= clock.now - begun < 8


@pytest.mark.usefixtures("follower")
@pytest.mark.parametrize(
    ("name", "version", "message"),
    [
        ("c", None, "c isn't registered; its versions: none"),
        ("b", "3.0", "b 3.0 isn't registered; its versions: 1.0, 2.0"),
    ],
)
def test_what_isnt_registered_is_told(
    places: Places, console: Console, name: str, version: str | None, message: str
) -> None:
    with pytest.raises(CommandError) as caught:
        unregister(places, name, version, 60, console)
    assert str(caught.value) == message
    assert wanted.load(places).revision == 1


def test_only_the_marked_versions_are_on_their_way_out() -> None:
    before = state(3, a=model("1.0", "2.0", previous=("0.9",), workers=4), b=model("1.0"))
    after = marked(before, "a", ["2.0"])
    assert after == before.having("a", model("1.0", "2.0", previous=("0.9",), workers=4, leaving=("2.0",)))


def test_what_is_taken_out_leaves_the_rest_and_the_history() -> None:
    before = state(3, a=model("1.0", "2.0", previous=("0.9",)))
    after = without(before, "a", ["2.0"]).models["a"]
    assert after == model("1.0", previous=("0.9",))


def test_what_loads_for_longer_than_the_deadline_is_told(
    places: Places, follower: Follower, console: Console
) -> None:
    follower.tweak = lambda name, number, one: SeenVersion("loading", 1)
    with pytest.raises(CommandError, match="a is loading still after 7 s, and serves on"):
        unregister(places, "a", None, 7, console)
