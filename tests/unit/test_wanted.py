"""The wanted state: no change is lost, and no damage to its file loses what was wanted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from scripts.places import ROOT, Places
from scripts.state import wanted
from scripts.state.wanted import Wanted, WantedCanary, WantedMirror, WantedModel, WantedVersion
from tests.states import model, store

CHANGES = """
import sys
from pathlib import Path
from scripts.state import wanted
from scripts.places import Places
from scripts.state.wanted import WantedModel

for number in range(50):
    name = f"{sys.argv[2]}{number}"
    wanted.change(Places(state=Path(sys.argv[1])), lambda before: before.having(name, WantedModel(name)))
"""

DAMAGE = {
    "truncated": b'{"revision": 3, "models": {"a": {"def',
    "empty": b"",
    "garbage": b"\x00\xff\xfe" * 100,
    "no utf-8": b'{"revision": 1, "models": {"\xff\xfe": {}}}',
    "another type": b'{"revision": "three", "models": {}}',
    "a list": b"[]",
}


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(state=tmp_path / "state")


def test_changes_of_two_processes_at_once_are_all_kept(places: Places) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", CHANGES, places.state, who], cwd=ROOT) for who in ("a", "b")
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    after = wanted.load(places)
    assert after.revision == 100
    assert set(after.models) == {f"{who}{number}" for who in ("a", "b") for number in range(50)}


def test_a_state_is_read_as_it_was_written(places: Places) -> None:
    versions = {"1": WantedVersion(2, asked=1, leaving=True), "2": WantedVersion(1)}
    beside = {"canary": WantedCanary("3", 0.5), "mirror": WantedMirror("3", 100.0, "/a/socket", kept=True)}
    one = WantedModel("2", {**versions, "3": WantedVersion(1)}, ("1", "0"), paused=True, **beside)  # type: ignore[arg-type]
    written = Wanted(1, {"a": one, "b": WantedModel()})
    wanted.change(places, lambda before: written)
    assert wanted.load(places) == written


def test_what_nobody_has_asked_for_is_empty(places: Places) -> None:
    assert wanted.load(places) == Wanted()
    assert wanted.mend(places) == ""
    assert not places.state.exists()


def test_an_edit_sees_the_revision_that_it_makes(places: Places) -> None:
    store(places, a=model("1.0"))
    after = wanted.change(places, lambda before: before.having("b", WantedModel(str(before.revision))))
    assert (after.revision, after.models["b"].default) == (2, "2")
    assert wanted.load(places) == after


def test_an_edit_that_changes_nothing_makes_no_revision(places: Places) -> None:
    before = store(places, a=model("1.0"))
    assert wanted.change(places, lambda state: state.having("a", model("1.0"))) == before
    assert wanted.load(places).revision == 1


def test_an_edit_that_raises_changes_nothing_and_leaves_the_lock_free(places: Places) -> None:
    before = store(places, a=model("1.0"))
    with pytest.raises(ZeroDivisionError):
        wanted.change(places, lambda state: state.having("b", WantedModel(str(1 / 0))))
    assert wanted.load(places) == before
    assert store(places).revision == 2


def test_paused_and_unregistered_models_are_not_to_answer() -> None:
    state = Wanted(1, {"a": model("1"), "paused": model("1", paused=True), "unregistered": WantedModel("1")})
    assert list(state.serving()) == ["a"]


@pytest.mark.parametrize("content", DAMAGE.values(), ids=DAMAGE.keys())
def test_from_a_damaged_file_the_copy_is_taken_and_the_file_is_healed(places: Places, content: bytes) -> None:
    before = store(places, a=model("1.0"))
    wanted.path(places).write_bytes(content)
    assert wanted.load(places) == before
    assert "wanted.json was damaged: back to revision 1, the last good one" in wanted.mend(places)
    wanted.copy(places).unlink()
    assert wanted.load(places) == before


def test_a_file_that_has_gone_comes_back_from_the_copy(places: Places) -> None:
    before = store(places, a=model("1.0"))
    wanted.path(places).unlink()
    assert "back to revision 1" in wanted.mend(places)
    assert wanted.path(places).exists()
    assert wanted.load(places) == before


def test_a_change_after_damage_goes_on_from_the_copy(places: Places) -> None:
    store(places, a=model("1.0"))
    wanted.path(places).write_bytes(b"")
    after = wanted.change(places, lambda before: before.having("b", model("2.0")))
    assert (after.revision, set(after.models)) == (2, {"a", "b"})


def test_a_whole_file_is_not_mended(places: Places) -> None:
    store(places, a=model("1.0"))
    wanted.copy(places).write_bytes(b"")
    assert wanted.mend(places) == ""


def test_a_file_damaged_beyond_reading_is_kept_aside_and_said_once(places: Places) -> None:
    store(places, a=model("1.0"))
    wanted.path(places).write_bytes(DAMAGE["truncated"])
    wanted.copy(places).write_bytes(b"")
    told = wanted.mend(places)
    assert "damaged beyond reading" in told
    assert "wanted.damaged" in told
    assert (places.state / "wanted.damaged").read_bytes() == DAMAGE["truncated"]
    assert wanted.mend(places) == ""
    assert wanted.load(places) == Wanted()


def test_of_two_damaged_files_both_are_kept(places: Places) -> None:
    store(places, a=model("1.0"))
    wanted.path(places).write_bytes(b"")
    wanted.copy(places).write_bytes(DAMAGE["truncated"])
    wanted.mend(places)
    kept = {path.read_bytes() for path in places.state.iterdir() if "damaged" in path.name}
    assert DAMAGE["truncated"] in kept


@pytest.mark.parametrize("content", [b"{}", b'{"revision": 9}', b'{"error": "no such key"}'])
def test_a_file_without_the_models_is_damaged(places: Places, content: bytes) -> None:
    before = store(places, a=model("1.0"))
    wanted.path(places).write_bytes(content)
    assert wanted.load(places) == before


def test_a_crash_between_the_file_and_its_copy_loses_nothing(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(places, a=model("1.0"))
    real, written = wanted.durable.replace, []

    def crash_at_the_second(path: Path, content: bytes) -> None:
        if written:
            raise KeyboardInterrupt
        written.append(path)
        real(path, content)

    monkeypatch.setattr(wanted.durable, "replace", crash_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        store(places, b=model("1.0"))
    assert list(wanted.load(places).models) == ["b"]
    wanted.path(places).write_bytes(b"")
    assert list(wanted.load(places).models) == ["a"], "the last good one"


def test_the_files_are_json_that_a_person_can_read(places: Places) -> None:
    store(places, a=model("1.0"))
    assert msgspec.json.decode(wanted.path(places).read_bytes()) == {
        "revision": 1,
        "models": {"a": {"default": "1.0", "versions": {"1.0": {"workers": 1, "asked": 1}}}},
    }
    assert wanted.copy(places).read_bytes() == wanted.path(places).read_bytes()


def test_of_the_copy_and_what_is_known_the_newer_one_counts(places: Places) -> None:
    store(places, a=model("1.0"))
    copied = wanted.copy(places).read_bytes()
    known = store(places, b=model("1.0"))
    wanted.copy(places).write_bytes(copied)  # as a crash between the two leaves them
    wanted.path(places).write_bytes(b"")
    assert "back to revision 2" in wanted.mend(places, known)
    assert wanted.load(places) == known


def test_what_is_the_default_or_leaves_or_isnt_there_is_neither_canary_nor_mirrored_to() -> None:
    canary, mirror = WantedCanary("2", 5.0), WantedMirror("2", 5.0, "/a/socket")
    for one in (model("2", "1"), model("1", "2", leaving=("2",)), model("1")):
        found = Wanted().having("a", msgspec.structs.replace(one, canary=canary, mirror=mirror)).models["a"]
        assert found == one
    kept = msgspec.structs.replace(model("1", "2"), canary=canary, mirror=mirror)
    assert Wanted().having("a", kept).models["a"] is kept


def test_a_state_of_a_former_release_is_read(places: Places) -> None:
    places.state.mkdir()
    wanted.path(places).write_bytes(
        b'{"revision": 3, "models": {"a": {"default": "1", "versions": {"1": {"workers": 2, "asked": 3}}}}}'
    )
    found = wanted.load(places).models["a"]
    assert (found.default, found.canary, found.mirror) == ("1", None, None)
