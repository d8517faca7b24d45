"""register: READY beside what serves, with every worker; what isn't wanted isn't registered."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from scripts import register
from scripts.errors import CommandError
from scripts.places import Places
from scripts.processes.scratch import Scratch
from scripts.state import asking, mirrors, observed, wanted
from scripts.state.admission import MARGIN, Failed
from scripts.state.observed import SeenModel, SeenVersion
from scripts.state.wanted import WantedMirror
from tests.fakes import Clock
from tests.states import Follower, model, pack, printed, seen, store


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    found = Places(store=tmp_path / "store", state=tmp_path / "state")
    for version in ("1.0", "2.0"):
        pack(found.store, "a", version, workers=2)
    store(found, a=model("1.0", workers=2))
    monkeypatch.setattr(register, "archived", lambda *_: ("a", "2.0"))
    return found


def test_what_an_archive_from_elsewhere_assumes_is_told(
    tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = Places(store=tmp_path / "store")
    for version, assumed in (("1.0", []), ("2.0", ["input"])):
        pack(places.store, "a", version, handler={"assumed": assumed})
    monkeypatch.setattr(register, "stored", lambda _, path: ("a", path.stem.partition("-")[2]))
    assert register.archived(places, "elsewhere/a-1.0.mar", console) == ("a", "1.0")
    assert printed(console) == ""
    assert register.archived(places, "elsewhere/a-2.0.mar", console) == ("a", "2.0")
    assert printed(console).startswith("a: NOTE: handler.input is assumed: ")


def versions(places: Places) -> list[str]:
    return list(wanted.load(places).models["a"].versions)


@pytest.mark.usefixtures("follower")
def test_a_version_comes_up_beside_the_default_and_is_then_registered_already(
    places: Places, console: Console, clock: Clock
) -> None:
    assert register.register(places, "a", console) == 0
    assert (wanted.load(places).models["a"].default, versions(places)) == ("1.0", ["1.0", "2.0"])
    clock.sleep(1)
    assert register.register(places, "a", console) == 0
    assert "a 2.0: READY" in printed(console)
    assert "a 2.0 is registered already: 2 of 2 workers READY" in printed(console)


def test_it_isnt_there_before_every_worker_is_ready(
    places: Places, follower: Follower, console: Console, clock: Clock
) -> None:
    def one_fails(name: str, number: str, one: SeenVersion | None) -> SeenVersion | None:
        return SeenVersion("ready", 2, 1, asked=one.asked) if number == "2.0" and one is not None else one

    follower.tweak, begun = one_fails, clock.now
    with pytest.raises(Failed, match=r"a 2\.0: its workers weren't READY in time; nothing else has changed"):
        register.register(places, "a", console)
    assert clock.now - begun >= 120 + MARGIN, "the recipe's startupTimeout, and more"
    assert versions(places) == ["1.0"]


@pytest.mark.usefixtures("follower")
def test_what_is_seen_still_and_isnt_wanted_any_more_is_registered(places: Places, console: Console) -> None:
    both = {number: SeenVersion("ready", 2, 2) for number in ("1.0", "2.0")}
    observed.publish(places, seen(1, a=SeenModel("1.0", both)))
    assert register.register(places, "a", console) == 0
    assert versions(places) == ["1.0", "2.0"]


@pytest.mark.usefixtures("follower")
def test_what_a_comparison_only_had_brought_up_is_registered_for_itself(
    places: Places, console: Console, clock: Clock
) -> None:
    with Scratch("test-") as folder:
        mirror = WantedMirror("2.0", 5.0, str(folder / "socket"))
        store(places, a=model("1.0", "2.0", workers=2, mirror=mirror))
        clock.sleep(1)
        assert register.register(places, "a", console) == 0
        assert "a 2.0 is registered already" in printed(console)
        asking.ask(places, lambda state: mirrors.without(state, "a", mirror.socket))
    assert versions(places) == ["1.0", "2.0"]


@pytest.mark.usefixtures("follower")
def test_what_a_killed_comparison_has_left_comes_up_anew(
    places: Places, console: Console, clock: Clock
) -> None:
    with Scratch("test-") as folder:
        store(places, a=model("1.0", "2.0", workers=2, mirror=WantedMirror("2.0", 5.0, str(folder / "s"))))
        clock.sleep(1)
    assert register.register(places, "a", console) == 0
    assert "a 2.0: READY" in printed(console)
    assert (versions(places), wanted.load(places).models["a"].mirror) == (["1.0", "2.0"], None)


def test_without_a_supervisor_it_is_told_before_anything_is_packed(
    places: Places, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(register, "archived", lambda *_: pytest.fail("minutes of packing"))
    with pytest.raises(CommandError, match="no supervisor runs"):
        register.register(places, "a", console)
