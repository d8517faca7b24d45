"""promote and rollback: which versions are wanted then, and where it goes back to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from scripts import promote, versions
from scripts.errors import CommandError
from scripts.places import Places
from scripts.promote import moved, rollback
from scripts.state import asking, wanted
from scripts.state.admission import Failed
from scripts.state.observed import SeenModel, SeenVersion
from scripts.state.wanted import Wanted, WantedModel, WantedVersion
from tests.fakes import Clock
from tests.states import Follower, model, pack, printed, seen, state, store


def admitted(before: Wanted, version: str) -> Wanted:
    """With the version READY beside the others, as it is when callers are led to it."""
    one = before.model("a")
    versions = {**one.versions, version: WantedVersion(1, asked=before.revision)}
    return before.having("a", msgspec.structs.replace(one, versions=versions))


def after(before: Wanted, *versions: str) -> WantedModel:
    """What comes of promoting each of them in turn."""
    for version in versions:
        before = moved(admitted(before, version), "a", version)
    return before.models["a"]


def test_the_new_version_is_wanted_in_place_of_the_old_which_is_remembered() -> None:
    found = after(state(a=model("1")), "2")
    assert (found.default, list(found.versions), found.previous) == ("2", ["2"], ("1",))


def test_the_history_has_the_latest_first() -> None:
    assert after(state(a=model("1")), "2", "3", "4", "5").previous == ("4", "3", "2", "1")


def test_going_back_takes_the_version_out_of_the_history() -> None:
    found = after(state(a=model("1")), "2", "3", "2")
    assert (found.default, found.previous) == ("2", ("1",))


def test_going_back_twice_goes_back_by_two() -> None:
    at = after(state(a=model("1")), "2", "3")
    for expected in ("2", "1"):
        at = after(state(a=at), at.previous[0])
        assert at.default == expected
    assert at.previous == ()


def test_forward_again_after_going_back_remembers_the_way() -> None:
    assert after(state(a=model("1")), "2", "3", "2", "3").previous == ("2", "1")


def test_a_jump_to_an_older_version_remembers_each_once() -> None:
    found = after(state(a=model("1")), "2", "3", "1")
    assert (found.default, found.previous) == ("1", ("3", "2"))


def test_a_candidate_beside_the_default_stays() -> None:
    before = state(a=model("1", "rc"))
    assert list(after(before, "2").versions) == ["rc", "2"]
    assert list(after(before, "rc").versions) == ["rc"]


def test_the_workers_of_the_new_version_are_its_own() -> None:
    before = state(2, a=model("1", workers=4))
    found = moved(before.having("a", model("1", "2", workers=4)), "a", "2").models["a"]
    assert found.versions == {"2": WantedVersion(4, asked=1)}


def test_the_default_promoted_again_has_the_same_history() -> None:
    before = state(a=model("2", previous=("1",)))
    assert moved(before, "a", "2") == before


def test_a_model_that_was_unregistered_remembers_what_it_was_before() -> None:
    found = after(state(a=WantedModel("2", previous=("1",))), "3")
    assert (found.default, found.previous) == ("3", ("2", "1"))


def test_other_models_are_untouched() -> None:
    before = state(a=model("1"), b=model("7", previous=("6",)))
    assert moved(admitted(before, "2"), "a", "2").models["b"] == before.models["b"]


@pytest.fixture
def places(tmp_path: Path) -> Places:
    found = Places(models=tmp_path / "models", store=tmp_path / "store", state=tmp_path / "state")
    for version in "123456":
        pack(found.store, "a", version)
    store(found, a=model("1"))
    return found


def archives(places: Places) -> list[str]:
    return sorted(path.stem.removeprefix("a-") for path in places.store.iterdir())


@pytest.mark.usefixtures("follower")
def test_promoted_is_what_answers_and_the_last_three_former_archives_stay(
    places: Places, console: Console, clock: Clock
) -> None:
    for version in "23456":
        assert promote.promote(places, "a", version, console) == 0
        clock.sleep(1)
    found = wanted.load(places).models["a"]
    assert (found.default, list(found.versions), found.previous) == ("6", ["6"], ("5", "4", "3"))
    assert archives(places) == ["3", "4", "5", "6"]
    assert "✓ a 6: the default" in printed(console)
    assert "a-2.mar: the last 3 former versions are kept" in printed(console)


@pytest.mark.usefixtures("follower")
def test_rollback_goes_back_as_far_as_there_are_versions(
    places: Places, console: Console, clock: Clock
) -> None:
    for version in "23":
        promote.promote(places, "a", version, console)
        clock.sleep(1)
    for expected in "21":
        assert rollback(places, "a", console) == 0
        clock.sleep(1)
        assert wanted.load(places).models["a"].default == expected
    with pytest.raises(CommandError, match="a has no former version here"):
        rollback(places, "a", console)


@pytest.mark.usefixtures("follower")
def test_what_an_archive_assumes_is_told_when_callers_are_led_to_it(
    places: Places, console: Console, clock: Clock
) -> None:
    pack(places.store, "a", "2", handler={"assumed": ["input"]})
    promote.promote(places, "a", "2", console)
    assert printed(console).count("a: NOTE: handler.input is assumed: ") == 1
    clock.sleep(1)
    promote.promote(places, "a", "3", console)
    assert printed(console).count("assumed") == 1 + 1  # the note names handler.assumed, too
    clock.sleep(1)
    rollback(places, "a", console)
    assert printed(console).count("a: NOTE: handler.input is assumed: ") == 2


@pytest.mark.usefixtures("follower")
def test_rollback_without_the_archive_changes_nothing(places: Places, console: Console, clock: Clock) -> None:
    promote.promote(places, "a", "2", console)
    clock.sleep(1)
    before = wanted.load(places)
    (places.store / "a-1.mar").unlink()
    with pytest.raises(CommandError, match=r"a-1\.mar isn't there any more"):
        rollback(places, "a", console)
    assert wanted.load(places) == before


@pytest.mark.usefixtures("follower")
def test_the_default_is_the_default_already(places: Places, console: Console) -> None:
    assert promote.promote(places, "a", "1", console) == 0
    assert printed(console) == "a 1 is the default already\n"
    assert wanted.load(places).revision == 1


def test_a_version_that_fails_leaves_the_old_one_wanted_alone(
    places: Places, follower: Follower, console: Console
) -> None:
    before = wanted.load(places).models["a"]

    def fail(name: str, number: str, one: SeenVersion | None) -> SeenVersion | None:
        if number != "2" or one is None:
            return one
        return SeenVersion(
            "failed", 1, asked=one.asked, reason="seven is 9", traceback="Traceback\n  in it\n"
        )

    follower.tweak = fail
    with pytest.raises(Failed, match="a 2: seven is 9; nothing else has changed"):
        promote.promote(places, "a", "2", console)
    assert printed(console) == "Traceback\n  in it\n"
    assert wanted.load(places).models["a"] == before
    assert archives(places) == list("123456")


def test_an_old_version_that_is_busy_for_too_long_is_said(
    places: Places, follower: Follower, console: Console, clock: Clock
) -> None:
    follower.lingering["1"] = SeenVersion("leaving", 1, 1, active=3)
    begun = clock.now
    assert promote.promote(places, "a", "2", console) == 0
    assert clock.now - begun >= 27 + versions.MARGIN, "its deadline, and more"
    assert "the old version has requests in flight still, and leaves after them" in printed(console)
    assert wanted.load(places).models["a"].default == "2"


@pytest.mark.usefixtures("follower")
def test_the_archive_of_a_version_that_is_wanted_stays(
    places: Places, console: Console, clock: Clock
) -> None:
    store(places, a=model("5", "1", previous=("4", "3", "2", "1")))
    clock.sleep(1)
    promote.promote(places, "a", "6", console)
    assert "1" in wanted.load(places).models["a"].versions
    assert "1" in archives(places)


def test_without_a_supervisor_it_is_told_before_anything_is_packed(
    places: Places, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "archived", lambda *_: pytest.fail("minutes of packing"))
    with pytest.raises(CommandError, match="no supervisor runs"):
        promote.promote(places, "a", None, console)


@pytest.mark.usefixtures("follower")
def test_the_number_of_workers_that_somebody_gave_goes_with_the_endpoint(
    places: Places, console: Console, clock: Clock
) -> None:
    store(places, a=model("1", workers=4))
    store(places, a=WantedModel("1", {"1": WantedVersion(4, asked=1), "2": WantedVersion(1, asked=2)}))
    clock.sleep(1)
    assert promote.promote(places, "a", "2", console) == 0, "which was registered beside it, with one worker"
    assert wanted.load(places).models["a"].versions["2"].workers == 4
    assert promote.promote(places, "a", "3", console) == 0
    assert wanted.load(places).models["a"].versions["3"].workers == 4


@pytest.mark.usefixtures("follower")
def test_an_old_version_whose_archive_is_damaged_can_be_left(places: Places, console: Console) -> None:
    (places.store / "a-1.mar").write_bytes(b"PK")
    assert promote.promote(places, "a", "2", console) == 0
    assert wanted.load(places).models["a"].default == "2"


def test_callers_that_cant_be_led_stay_with_the_old_version(
    places: Places, follower: Follower, console: Console, clock: Clock
) -> None:
    """The gateway takes no routes, for instance: the supervisor knows the revision, and says so too late."""
    before = wanted.load(places).models["a"]
    taken_in = []
    clock.each = lambda: taken_in or follower.step()
    real = asking.ask

    def ask(*given: Any) -> int:
        revision = real(*given)
        if wanted.load(places).model("a").default == "2":
            taken_in.append(revision)
        else:
            taken_in.clear()
        return revision

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(asking, "ask", ask)
        with pytest.raises(
            CommandError, match="a: callers couldn't be led to 2; see scripts/pthserve status"
        ):
            promote.promote(places, "a", "2", console)
    assert wanted.load(places).models["a"] == before


def test_an_interrupted_promotion_leaves_the_old_version_wanted_alone(
    places: Places, follower: Follower, console: Console, clock: Clock
) -> None:
    before = wanted.load(places).models["a"]

    def interrupt() -> None:
        follower.step()
        raise KeyboardInterrupt

    clock.each = interrupt
    with pytest.raises(KeyboardInterrupt):
        promote.promote(places, "a", "2", console)
    assert wanted.load(places).models["a"] == before


def test_a_promotion_that_was_killed_is_finished_by_the_next(
    places: Places, console: Console, follower: Follower, clock: Clock
) -> None:
    store(places, a=model("1", "2"))  # it had asked for the version, and no more
    clock.sleep(1)
    assert promote.promote(places, "a", "2", console) == 0
    found = wanted.load(places).models["a"]
    assert (found.default, list(found.versions), found.previous) == ("2", ["2"], ("1",))


def test_what_answers_only_until_another_is_ready_can_be_promoted_back(
    places: Places, console: Console, follower: Follower, clock: Clock
) -> None:
    store(places, a=model("2", previous=("1",)))
    there = {"1": SeenVersion("ready", 1, 1), "2": SeenVersion("loading", 1)}
    asking.observed.publish(places, seen(2, a=SeenModel("1", there)))
    assert promote.promote(places, "a", "1", console) == 0
    found = wanted.load(places).models["a"]
    assert (found.default, list(found.versions)) == ("1", ["1"])
