"""The recipes of models/: what can be served, what needs training, what is broken."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from handlers.errors import BadRecipe
from scripts import catalog
from scripts.catalog import NeedsTraining
from scripts.errors import CommandError
from scripts.places import ROOT, Places


@pytest.fixture
def places(tmp_path: Path) -> Places:
    shutil.copytree(ROOT / "models" / "diabetes", tmp_path / "diabetes")
    (tmp_path / "notes").mkdir()
    return Places(models=tmp_path)


def test_a_folder_with_a_recipe_is_a_model(places: Places) -> None:
    assert catalog.names(places) == ["diabetes"]
    entries, refused = catalog.chosen(places, [])
    assert [entry.name for entry in entries] == ["diabetes"]
    assert refused == {}


def test_without_weights_a_model_with_a_train_py_needs_training(places: Places) -> None:
    (places.models / "diabetes" / "weights.pth").unlink()
    entries, refused = catalog.chosen(places, [])
    assert entries == []
    assert isinstance(refused["diabetes"], NeedsTraining)
    assert "scripts/pthserve train diabetes" in str(refused["diabetes"])


def test_without_weights_and_train_py_the_file_is_missed(places: Places) -> None:
    (places.models / "diabetes" / "weights.pth").unlink()
    (places.models / "diabetes" / "train.py").unlink()
    _, refused = catalog.chosen(places, [])
    assert isinstance(refused["diabetes"], BadRecipe)
    assert "handler.weights is 'weights.pth'; the file isn't there" in str(refused["diabetes"])


def test_a_missing_sample_is_named(places: Places) -> None:
    (places.models / "diabetes" / "samples" / "patient2.json").unlink()
    _, refused = catalog.chosen(places, [])
    assert "samples/patient2.json" in str(refused["diabetes"])


def test_the_name_in_the_recipe_is_the_folders(places: Places) -> None:
    (places.models / "diabetes").rename(places.models / "sugar")
    _, refused = catalog.chosen(places, ["sugar"])
    assert "must be 'sugar', the folder's name" in str(refused["sugar"])


def test_an_unknown_name_is_told_with_those_that_there_are(places: Places) -> None:
    with pytest.raises(CommandError, match="there are: diabetes"):
        catalog.find(places, "../diabetes2")
