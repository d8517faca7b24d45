"""A command is alone for its model, and waits for a supervisor that knows its revision."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.errors import CommandError
from scripts.places import Places
from scripts.state import asking, durable, observed, wanted
from tests.fakes import Clock, stop_time
from tests.states import model, seen


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(state=tmp_path / "state")


@pytest.fixture
def supervised(places: Places) -> Iterator[None]:
    with durable.locked(places.supervisor_lock):
        observed.publish(places, seen(1))
        yield


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return stop_time(monkeypatch, asking)


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
