"""What `up` begins with: what was wanted comes back as it was, what is new is packed and asked for."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from handlers.errors import Refusal
from scripts import catalog
from scripts.archive import Outcome
from scripts.catalog import Entry
from scripts.errors import CommandError
from scripts.packing import mar
from scripts.places import Places
from scripts.processes.children import Children
from scripts.serving import startup
from scripts.serving.startup import Plan
from scripts.state import admission, asking, wanted
from scripts.state.wanted import Wanted, WantedModel, WantedVersion
from tests.states import model, pack, recipe_of, state


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(models=tmp_path / "models", store=tmp_path / "store", state=tmp_path / "state")


def write(places: Places, name: str, version: str = "1.0", *, weights: bool = True) -> Entry:
    """A folder of models/."""
    folder = places.models / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe_of(name, version, workers=2)))
    (folder / "model.py").write_text("")
    if weights:
        (folder / "weights.pth").write_bytes(b"")
    else:
        (folder / "train.py").write_text("")
    return catalog.find(places, name)


def plan(places: Places, before: Wanted, *names: str) -> Plan:
    return startup.plan(places, before, names)


def new(found: Plan) -> list[str]:
    return [entry.name for entry in found.new]


def test_at_first_everything_in_models_is_new(places: Places) -> None:
    write(places, "a")
    write(places, "b")
    found = plan(places, state())
    assert (new(found), found.kept, found.refused, found.names) == (["a", "b"], {}, {}, {"a", "b"})


def test_what_was_wanted_is_kept_without_a_look_at_its_folder(places: Places) -> None:
    pack(places.store, "a")
    found = plan(places, state(a=model("1.0")))
    assert (found.kept, new(found), found.refused) == ({"a": []}, [], {})


def test_a_model_beside_those_that_were_wanted_is_new(places: Places) -> None:
    write(places, "b")
    pack(places.store, "a")
    found = plan(places, state(a=model("1.0")))
    assert (list(found.kept), new(found)) == (["a"], ["b"])


def test_what_was_unregistered_stays_away_unless_it_is_named(places: Places) -> None:
    write(places, "a")
    before = state(a=WantedModel("1.0"))
    found = plan(places, before)
    assert (found.names, found.unregistered) == (set(), ["a"])
    found = plan(places, before, "a")
    assert (new(found), found.unregistered) == (["a"], [])


def test_what_was_leaving_when_the_last_one_ended_has_left(places: Places) -> None:
    write(places, "a")
    pack(places.store, "a")
    before = state(a=model("1.0", leaving=("1.0",)), b=model("2.0", "1.0", leaving=("1.0",)))
    assert plan(places, before).unregistered == ["a"]
    after = startup.settled(before)
    assert {name: list(one.versions) for name, one in after.models.items()} == {"a": [], "b": ["2.0"]}


def test_what_was_wanted_and_has_lost_its_archive_is_packed_anew(places: Places) -> None:
    write(places, "a")
    found = plan(places, state(a=model("1.0")))
    assert (new(found), found.kept) == (["a"], {})


def test_what_has_neither_archive_nor_recipe_is_refused_by_name(places: Places) -> None:
    write(places, "b")
    found = plan(places, state(a=model("1.0")))
    assert list(found.refused) == ["a"]
    assert "there is no model 'a'" in str(found.refused["a"])
    assert new(found) == ["b"]


def test_what_needs_training_is_no_failure_unless_it_is_named(places: Places) -> None:
    write(places, "a", weights=False)
    found = plan(places, state())
    assert (list(found.refused), found.untrained) == (["a"], ["a"])
    found = plan(places, state(), "a")
    assert (list(found.refused), found.untrained) == (["a"], [])


def test_with_names_the_others_are_paused_and_without_them_they_come_back(places: Places) -> None:
    for name in "ab":
        pack(places.store, name)
    before = state(a=model("1.0"), b=model("1.0", workers=3, previous=("0.9",)))
    after = startup.select(before, plan(places, before, "a"))
    assert list(after.serving()) == ["a"]
    again = startup.select(after, plan(places, after))
    assert again.models == before.models, "with its workers, its default and its history"


def test_a_name_given_twice_counts_once(places: Places) -> None:
    write(places, "a")
    assert new(plan(places, state(), "a", "a")) == ["a"]


def test_what_is_yet_to_be_packed_waits(places: Places) -> None:
    write(places, "a")
    before = state(a=model("1.0"))
    assert list(startup.select(before, plan(places, before)).serving()) == []


def test_a_recipe_that_has_moved_on_is_noted(places: Places) -> None:
    write(places, "a", "2.0")
    pack(places.store, "a")
    (note,) = plan(places, state(a=model("1.0"))).kept["a"]
    assert note == "NOTE: serving 1.0; scripts/pthserve promote a moves to 2.0"


def test_files_that_changed_under_the_same_version_are_noted(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(places, "a")
    pack(places.store, "a")
    monkeypatch.setattr(mar, "differences", lambda *_: ["model.py"])
    (note,) = plan(places, state(a=model("1.0"))).kept["a"]
    assert "as it was packed, before model.py changed: raise handler.version" in note


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: shutil.rmtree(folder),
        lambda folder: (folder / "recipe.yaml").write_text("handler: ["),
        lambda folder: (folder / "weights.pth").unlink(),
    ],
    ids=["gone", "broken", "without weights"],
)
def test_a_folder_that_is_spoilt_keeps_no_archive_from_serving(
    places: Places, spoil: Callable[[Path], None]
) -> None:
    write(places, "a")
    pack(places.store, "a")
    spoil(places.models / "a")
    found = plan(places, state(a=model("1.0")))
    assert (found.kept, found.refused) == ({"a": []}, {})


def test_what_is_asked_for_is_the_recipes_version_alone_with_its_workers(places: Places) -> None:
    before = state(5, a=model("0.9", "0.8", paused=True, previous=("0.7",)))
    after = startup.asked(before, write(places, "a")).models["a"]
    assert after == WantedModel("1.0", {"1.0": WantedVersion(2, asked=5)}, ("0.7",))


def test_each_model_is_asked_for_as_soon_as_it_is_packed(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [write(places, "a"), write(places, "bad"), write(places, "full")]

    def archive(entry: Entry, places: Places, children: Children) -> Outcome:
        if entry.name == "bad":
            raise CommandError("its samples differ")
        if entry.name == "full":
            raise OSError(28, "No space left on device")
        return Outcome(places.store / "a-1.0.mar", ["packed"])

    monkeypatch.setattr(startup, "archive", archive)
    outcomes: dict[str, Outcome | Refusal | OSError] = {}
    with Children() as children:
        for entry, outcome in startup.pack(entries, places, children, print, optimise=False):
            outcomes[entry.name] = outcome
            if entry.name == "a":
                assert list(wanted.load(places).serving()) == ["a"]
    assert isinstance(outcomes["a"], Outcome)
    assert [str(outcomes[name]) for name in ("bad", "full")] == [
        "its samples differ",
        "[Errno 28] No space left on device",
    ]
    assert list(wanted.load(places).models) == ["a"]


def test_nothing_to_pack_is_nothing_to_do(places: Places) -> None:
    assert list(startup.pack([], places, Children(), print)) == []
    assert not places.state.exists()


def test_a_model_whose_first_register_failed_is_tried_at_the_next_start(places: Places) -> None:
    write(places, "a")

    def register() -> None:
        with asking.taken_back(places, "a", trying="1.0"):
            wanted.change(places, lambda before: admission.with_version(before, "a", "1.0", 1))
            raise admission.Failed("a 1.0: its samples differ")

    with pytest.raises(admission.Failed):
        register()
    assert new(plan(places, wanted.load(places))) == ["a"]
