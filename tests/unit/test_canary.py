"""promote --canary: a share of callers, beside a default that stays; every way in which it ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from scripts import canary, promote
from scripts.canary import promote_canary
from scripts.errors import CommandError
from scripts.places import Places
from scripts.scale import scaled
from scripts.serving import startup
from scripts.state import observed, wanted
from scripts.state.admission import Failed, with_version
from scripts.state.observed import SeenVersion
from scripts.state.wanted import WantedCanary, WantedMirror, WantedModel
from scripts.unregister import marked, unregister, without
from tests.fakes import Clock
from tests.states import Follower, model, pack, printed, recipe_of, state, store

RUNNING = model("1", "2", canary=WantedCanary("2", 5.0))


@pytest.fixture
def places(tmp_path: Path) -> Places:
    found = Places(models=tmp_path / "models", store=tmp_path / "store", state=tmp_path / "state")
    for version in "1234":
        pack(found.store, "a", version)
    store(found, a=model("1"))
    return found


@pytest.fixture
def running(places: Places, follower: Follower, console: Console, clock: Clock) -> Follower:
    """With 2 as the canary, 5 %."""
    promote_canary(places, "a", "2", 5.0, console)
    clock.sleep(1)
    return follower


def now(places: Places) -> WantedModel:
    return wanted.load(places).models["a"]


def write_recipe(places: Places, version: str) -> None:
    folder = places.models / "a"
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_bytes(msgspec.json.encode(recipe_of("a", version)))


@pytest.mark.usefixtures("follower")
def test_a_share_of_callers_gets_the_version_and_the_default_stays(places: Places, console: Console) -> None:
    assert promote_canary(places, "a", "2", 5.0, console) == 0
    found = now(places)
    assert (found.default, list(found.versions), found.previous) == ("1", ["1", "2"], ())
    assert found.canary == WantedCanary("2", 5.0)
    assert "✓ a: canary 2 5%; 1 answers the others who name no version" in printed(console)
    assert observed.load(places).models["a"].canary.percent == 5.0  # type: ignore[union-attr]


@pytest.mark.usefixtures("running")
def test_again_with_another_share_changes_it_and_starts_nothing(
    places: Places, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canary.admission, "admit", lambda *_, **__: pytest.fail("it is there already"))
    assert promote_canary(places, "a", "2", 0.25, console) == 0
    assert now(places).canary == WantedCanary("2", 0.25)
    assert promote_canary(places, "a", None, 50.0, console) == 0, "the canary is meant"
    assert now(places).canary == WantedCanary("2", 50.0)
    assert "canary 2 0.25%" in printed(console)


@pytest.mark.usefixtures("running")
def test_promoted_it_is_the_default_and_no_canary(places: Places, console: Console) -> None:
    assert promote.promote(places, "a", None, console) == 0
    found = now(places)
    assert (found.default, list(found.versions), found.previous) == ("2", ["2"], ("1",))
    assert found.canary is None


@pytest.mark.usefixtures("running")
def test_another_version_promoted_ends_it_too(places: Places, console: Console) -> None:
    assert promote.promote(places, "a", "3", console) == 0
    found = now(places)
    assert (found.default, list(found.versions), found.canary) == ("3", ["3"], None)


@pytest.mark.usefixtures("running")
def test_the_default_promoted_again_ends_it(places: Places, console: Console) -> None:
    assert promote.promote(places, "a", "1", console) == 0
    found = now(places)
    assert (found.default, list(found.versions), found.canary, found.previous) == ("1", ["1"], None, ())


@pytest.mark.usefixtures("running")
def test_rollback_ends_it_and_keeps_the_default(places: Places, console: Console) -> None:
    assert promote.rollback(places, "a", console) == 0
    found = now(places)
    assert (found.default, list(found.versions), found.canary) == ("1", ["1"], None)
    assert "✓ a 1: the default, and 2 no canary any more" in printed(console)
    with pytest.raises(CommandError, match="a has no former version here"):
        promote.rollback(places, "a", console)


@pytest.mark.usefixtures("running")
def test_a_recipe_that_has_moved_on_leaves_it_open_which_is_meant(places: Places, console: Console) -> None:
    write_recipe(places, "3")
    before = wanted.load(places)
    with pytest.raises(CommandError, match="a has the canary 2, and its recipe is version 3; name the one"):
        promote.promote(places, "a", None, console)
    with pytest.raises(CommandError, match="name the one that you mean"):
        promote_canary(places, "a", None, 10.0, console)
    assert wanted.load(places) == before
    assert promote.promote(places, "a", "2", console) == 0


@pytest.mark.usefixtures("follower")
def test_the_default_is_no_canary(places: Places, console: Console) -> None:
    before = wanted.load(places)
    with pytest.raises(CommandError, match="1 is the default of a"):
        promote_canary(places, "a", "1", 5.0, console)
    assert wanted.load(places) == before


@pytest.mark.usefixtures("running")
def test_one_canary_at_a_time(places: Places, console: Console) -> None:
    with pytest.raises(CommandError, match="a has a canary: 2, 5%; first scripts/pthserve rollback a"):
        promote_canary(places, "a", "3", 5.0, console)
    assert now(places).canary == WantedCanary("2", 5.0)


@pytest.mark.usefixtures("follower")
def test_a_model_that_isnt_there_has_none(places: Places, console: Console) -> None:
    with pytest.raises(CommandError, match="b isn't registered; scripts/pthserve register b"):
        promote_canary(places, "b", "1", 5.0, console)


def test_without_a_gateway_nobody_shares_requests_out(
    places: Places, follower: Follower, console: Console
) -> None:
    seen = observed.load(places)
    assert seen is not None
    observed.publish(places, msgspec.structs.replace(seen, gateway=False))
    with pytest.raises(CommandError, match="there is no gateway"):
        promote_canary(places, "a", "2", 5.0, console)


@pytest.mark.usefixtures("follower")
def test_what_a_killed_shadow_has_left_can_be_the_canary(
    places: Places, console: Console, clock: Clock
) -> None:
    left = WantedMirror("2", 100.0, "/nowhere/at/all/socket")
    store(places, a=model("1", "2", mirror=left))
    clock.sleep(1)
    assert observed.load(places).versions("a").keys() == {"1"}  # type: ignore[union-attr]
    assert promote_canary(places, "a", "2", 5.0, console) == 0
    found = now(places)
    assert (list(found.versions), found.canary, found.mirror) == (["1", "2"], WantedCanary("2", 5.0), None)


def failing(number: str) -> Any:
    def fail(name: str, version: str, one: SeenVersion | None) -> SeenVersion | None:
        if version != number or one is None:
            return one
        return SeenVersion("failed", 1, asked=one.asked, reason="seven is 9")

    return fail


def test_a_version_that_fails_leaves_the_default_alone(
    places: Places, follower: Follower, console: Console
) -> None:
    before = now(places)
    follower.tweak = failing("2")
    with pytest.raises(Failed, match="a 2: seven is 9; nothing else has changed"):
        promote_canary(places, "a", "2", 5.0, console)
    assert now(places) == before


def test_an_interrupted_start_leaves_the_default_alone(
    places: Places, follower: Follower, console: Console, clock: Clock
) -> None:
    before = now(places)

    def interrupt() -> None:
        follower.step()
        raise KeyboardInterrupt

    clock.each = interrupt
    with pytest.raises(KeyboardInterrupt):
        promote_canary(places, "a", "2", 5.0, console)
    assert now(places) == before


def test_a_promotion_of_another_that_fails_leaves_the_canary(
    places: Places, running: Follower, console: Console
) -> None:
    before = now(places)
    running.tweak = failing("3")
    with pytest.raises(Failed):
        promote.promote(places, "a", "3", console)
    assert now(places) == before


def test_a_canary_that_has_failed_meanwhile_stays_when_its_promotion_fails(
    places: Places, running: Follower, console: Console, clock: Clock
) -> None:
    running.tweak = failing("2")
    clock.sleep(1)
    with pytest.raises(Failed):
        promote.promote(places, "a", "2", console)
    assert now(places).canary == WantedCanary("2", 5.0)


def test_callers_that_cant_be_led_stay_with_the_default(
    places: Places, follower: Follower, console: Console, clock: Clock
) -> None:
    before, real = now(places), follower.step

    def without_canary() -> None:
        real()
        seen = observed.load(places)
        assert seen is not None
        models = {name: msgspec.structs.replace(one, canary=None) for name, one in seen.models.items()}
        observed.publish(places, msgspec.structs.replace(seen, models=models))

    clock.each = without_canary
    with pytest.raises(CommandError, match="a: callers couldn't be led to 2"):
        promote_canary(places, "a", "2", 5.0, console)
    assert now(places) == before


@pytest.mark.usefixtures("running")
def test_unregistering_the_canary_ends_it(places: Places, console: Console) -> None:
    assert unregister(places, "a", "2", 60, console) == 0
    found = now(places)
    assert (list(found.versions), found.canary) == (["1"], None)


def test_other_commands_keep_a_canary() -> None:
    before = state(a=RUNNING)
    assert scaled(before, "a", "1", 4).models["a"].canary == RUNNING.canary
    assert with_version(before, "a", "3", 1).models["a"].canary == RUNNING.canary
    assert startup.settled(before).models["a"] == RUNNING, "up starts it again"


def test_no_version_that_leaves_or_has_left_is_a_canary() -> None:
    before = state(a=RUNNING)
    assert marked(before, "a", ["2"]).models["a"].canary is None
    assert marked(before, "a", ["1", "2"]).models["a"].canary is None
    assert without(before, "a", ["1", "2"]).models["a"] == WantedModel("1")
    assert promote.moved(before, "a", "2").models["a"].canary is None
