"""A command is alone for its model, and waits for a supervisor that knows its revision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scripts.errors import CommandError
from scripts.places import Places
from scripts.processes.scratch import Scratch
from scripts.state import asking, durable, mirrors, observed, wanted
from scripts.state.admission import with_version
from scripts.state.observed import SeenModel, SeenVersion, State
from scripts.state.wanted import Wanted, WantedMirror, WantedModel
from tests.fakes import Clock
from tests.states import Follower, model, seen, store


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(state=tmp_path / "state")


@pytest.fixture
def supervised(places: Places) -> Iterator[None]:
    with durable.locked(places.supervisor_lock):
        observed.publish(places, seen(1))
        yield


def test_without_a_supervisor_a_command_is_told_how_to_start_one(places: Places) -> None:
    with pytest.raises(CommandError, match=r"no supervisor runs on .*; start one with scripts/pthserve up"):
        asking.running(places)
    with pytest.raises(CommandError, match="no supervisor"), asking.alone(places, "a"):
        raise AssertionError("not to be reached")


@pytest.mark.usefixtures("supervised")
def test_two_commands_dont_change_one_model_at_a_time(places: Places) -> None:
    with asking.alone(places, "a"):
        with pytest.raises(CommandError, match="another command is changing a"), asking.alone(places, "a"):
            raise AssertionError("not to be reached")
        with asking.alone(places, "b"):
            pass
    with asking.alone(places, "a"):
        pass


def test_asking_gives_the_revision_that_has_the_change(places: Places) -> None:
    assert asking.ask(places, lambda before: before.having("a", model("1.0"))) == 1
    assert asking.ask(places, lambda before: before.having("b", model("1.0"))) == 2
    assert asking.ask(places, lambda before: before) == 2
    assert set(wanted.load(places).models) == {"a", "b"}


@pytest.mark.usefixtures("supervised")
def test_a_fact_counts_only_when_the_supervisor_knows_the_revision(places: Places, clock: Clock) -> None:
    begun = clock.now

    def take_in() -> None:
        if clock.now > begun + 2:
            observed.publish(places, seen(5))

    clock.each = take_in
    assert asking.wait(places, 5, lambda now: True, timeout=10)
    assert 2 < clock.now - begun < 3


@pytest.mark.usefixtures("supervised")
def test_waiting_is_bounded(places: Places, clock: Clock) -> None:
    begun = clock.now
    assert not asking.wait(places, 1, lambda now: False, timeout=10)
    assert 10 <= clock.now - begun < 11


def test_waiting_ends_with_the_supervisor(places: Places, clock: Clock) -> None:
    with durable.locked(places.supervisor_lock) as ours:
        assert ours
        observed.publish(places, seen(1))
    with pytest.raises(CommandError, match="no supervisor"):
        asking.wait(places, 1, lambda now: True, timeout=10)


def test_a_supervisor_that_has_only_begun_is_no_missing_one(places: Places) -> None:
    with (
        durable.locked(places.supervisor_lock),
        pytest.raises(CommandError, match="has only begun; try again"),
    ):
        asking.running(places)


def attempt(places: Places, end: Callable[[], object] = lambda: None, *, trying: str = "") -> None:
    """A command that asks for another version and more workers, and comes to this end."""
    with asking.taken_back(places, "a", trying=trying):
        asking.ask(places, lambda before: before.having("a", model("1.0", "2.0", workers=3)))
        end()


def attempt_during(places: Places, change: Callable[[Wanted], Wanted]) -> None:
    """A command that fails after this has changed."""
    with asking.taken_back(places, "a"):
        asking.ask(places, change)
        refuse()


def refuse() -> None:
    raise CommandError("its samples differ")


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.usefixtures("supervised")
def test_what_comes_about_stays_asked_for(places: Places) -> None:
    store(places, a=model("1.0"))
    attempt(places)
    assert list(wanted.load(places).models["a"].versions) == ["1.0", "2.0"]


@pytest.mark.usefixtures("supervised")
@pytest.mark.parametrize("before", [{}, {"a": model("1.0", previous=("0.9",), paused=True)}])
def test_what_fails_is_taken_back_and_waited_for_until_it_is_gone(
    places: Places, clock: Clock, before: dict[str, WantedModel]
) -> None:
    store(places, **before, b=model("1.0"))
    follower = Follower(places)
    clock.each = follower.step
    follower.step()
    with pytest.raises(CommandError, match="its samples differ"):
        attempt(places, lambda: (follower.step(), refuse()))
    assert wanted.load(places).models == {**before, "b": model("1.0")}
    now = asking.running(places)
    assert now.revision == wanted.load(places).revision
    assert "2.0" not in now.versions("a")


@pytest.mark.usefixtures("supervised")
@pytest.mark.parametrize(("kept", "left"), [(False, ["1.0"]), (True, ["1.0", "2.0"])])
def test_a_comparison_that_ends_meanwhile_isnt_brought_back(
    places: Places, clock: Clock, kept: bool, left: list[str]
) -> None:
    follower = Follower(places)
    clock.each = follower.step
    with Scratch("test-") as folder:
        mirror = WantedMirror("2.0", 5.0, str(folder / "socket"), kept)
        store(places, a=model("1.0", "2.0", mirror=mirror))

        with pytest.raises(CommandError, match="its samples differ"):
            attempt_during(places, lambda state: mirrors.without(state, "a", mirror.socket))
        found = wanted.load(places).models["a"]
    assert (list(found.versions), found.mirror) == (left, None)


@pytest.mark.usefixtures("supervised")
def test_a_comparison_that_goes_on_is_left_as_it_was(places: Places, clock: Clock) -> None:
    follower = Follower(places)
    clock.each = follower.step
    with Scratch("test-") as folder:
        mirror = WantedMirror("2.0", 5.0, str(folder / "socket"))
        before = store(places, a=model("1.0", "2.0", mirror=mirror))
        with pytest.raises(CommandError, match="its samples differ"):
            attempt_during(places, lambda state: with_version(state, "a", "2.0", 3))
        assert wanted.load(places).models == before.models


@pytest.mark.usefixtures("supervised")
def test_what_is_interrupted_is_taken_back_at_once(places: Places, clock: Clock) -> None:
    before, begun = store(places, a=model("1.0")), clock.now
    with pytest.raises(KeyboardInterrupt):
        attempt(places, interrupt)
    assert wanted.load(places).models == before.models
    assert clock.now == begun


def test_what_a_supervisor_leaves_half_done_is_taken_back(places: Places, clock: Clock) -> None:
    before = store(places, a=model("1.0"))
    with pytest.raises(CommandError, match="no supervisor runs"):
        attempt(places, lambda: asking.wait(places, 2, lambda now: True, timeout=10))
    assert wanted.load(places).models == before.models


@pytest.mark.usefixtures("supervised")
@pytest.mark.parametrize(
    ("trying", "state", "left"),
    [("2.0", "failed", ["1.0"]), ("2.0", "ready", ["1.0", "2.0"]), ("1.0", "failed", ["1.0", "2.0"])],
    ids=["a candidate that didn't answer", "one that did", "the default"],
)
def test_what_a_killed_command_left_goes_with_the_next_that_fails(
    places: Places, clock: Clock, trying: str, state: State, left: list[str]
) -> None:
    store(places, a=model("1.0", "2.0"))
    both = {number: SeenVersion(state if number == trying else "ready", 1, 1) for number in ("1.0", "2.0")}
    observed.publish(places, seen(1, a=SeenModel("1.0", both)))
    with pytest.raises(CommandError, match="its samples differ"):
        attempt(places, refuse, trying=trying)
    assert list(wanted.load(places).models["a"].versions) == left
