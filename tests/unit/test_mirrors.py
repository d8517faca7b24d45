"""Mirrors in the wanted state: those of the dead count for nothing, and leave with what only they wanted."""

from __future__ import annotations

from pathlib import Path

import msgspec

from scripts.processes.scratch import Scratch
from scripts.promote import moved
from scripts.serving import startup
from scripts.state import mirrors
from scripts.state.admission import with_version
from scripts.state.wanted import WantedCanary, WantedMirror, WantedModel
from scripts.unregister import marked
from tests.states import model, state

DEAD = WantedMirror("2", 100.0, "/nowhere/at/all/socket")


def of_dead(**more: object) -> WantedModel:
    return model("1", "2", mirror=msgspec.structs.replace(DEAD, **more))


def test_a_mirror_lives_as_long_as_the_one_who_listens() -> None:
    with Scratch("test-") as folder:
        mirror = WantedMirror("2", 5.0, str(folder / "socket"))
        before = state(a=model("1", "2", mirror=mirror))
        assert mirrors.alive(mirror)
        assert mirrors.living(before) is before
    assert not mirrors.alive(mirror)
    assert list(mirrors.living(before).models["a"].versions) == ["1"]


def test_a_folder_whose_owner_is_dead_is_no_life(tmp_path: Path) -> None:
    (tmp_path / "owner.lock").touch()
    assert not mirrors.alive(WantedMirror("2", 5.0, str(tmp_path / "socket")))


def test_what_only_the_dead_wanted_leaves_with_their_mirror() -> None:
    found = mirrors.living(state(a=of_dead(), b=model("1", "2"))).models
    assert (list(found["a"].versions), found["a"].mirror) == (["1"], None)
    assert list(found["b"].versions) == ["1", "2"]


def test_what_was_wanted_before_stays() -> None:
    found = mirrors.living(state(a=of_dead(kept=True))).models["a"]
    assert (list(found.versions), found.mirror) == (["1", "2"], None)


def test_what_became_a_canary_or_the_default_meanwhile_stays() -> None:
    canary = msgspec.structs.replace(of_dead(), canary=WantedCanary("2", 5.0))
    found = mirrors.living(state(a=canary)).models["a"]
    assert (list(found.versions), found.canary) == (["1", "2"], WantedCanary("2", 5.0))
    promoted = moved(state(a=of_dead()), "a", "2").models["a"]
    assert (promoted.default, list(promoted.versions), promoted.mirror) == ("2", ["2"], None)


def test_a_promotion_of_another_ends_the_comparison() -> None:
    before = state(a=model("1", "2", "3", mirror=DEAD))
    found = moved(before, "a", "3").models["a"]
    assert (found.default, list(found.versions), found.mirror) == ("3", ["3"], None)


def test_up_starts_without_mirrors() -> None:
    found = startup.settled(state(a=of_dead(), b=of_dead(kept=True))).models
    assert [list(found[name].versions) for name in "ab"] == [["1"], ["1", "2"]]
    assert found["a"].mirror is found["b"].mirror is None


def test_nothing_that_leaves_is_mirrored_to() -> None:
    assert marked(state(a=of_dead()), "a", ["2"]).models["a"].mirror is None
    assert marked(state(a=of_dead()), "a", ["1", "2"]).models["a"].mirror is None


def test_what_is_asked_for_meanwhile_stays_when_the_comparison_ends() -> None:
    before = state(a=of_dead(), b=model("1"))
    for found in (mirrors.keeping(before, "a", "2"), with_version(before, "a", "2", 1)):
        after = mirrors.without(found, "a", DEAD.socket).models["a"]
        assert (list(after.versions), after.mirror) == (["1", "2"], None)
    for name, version in (("a", "1"), ("b", "2"), ("c", "2")):
        assert mirrors.keeping(before, name, version) is before


def test_of_what_is_restored_a_mirror_that_has_ended_is_no_part() -> None:
    before, plain = of_dead(), model("1")
    assert mirrors.restored(before, of_dead(kept=True)) == before
    assert mirrors.restored(plain, before) == plain
    for now in (plain, of_dead(socket="/another/socket")):
        assert mirrors.restored(before, now) == plain
        assert mirrors.restored(of_dead(kept=True), now) == model("1", "2")
    canary = msgspec.structs.replace(before, canary=WantedCanary("2", 5.0))
    assert mirrors.restored(canary, plain) == msgspec.structs.replace(canary, mirror=None)


def test_only_ones_own_mirror_is_taken_away() -> None:
    before = state(a=of_dead())
    assert mirrors.without(before, "a", "/another/socket") is before
    assert mirrors.without(before, "b", DEAD.socket) is before
    assert list(mirrors.without(before, "a", DEAD.socket).models["a"].versions) == ["1"]
