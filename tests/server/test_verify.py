"""verify as users type it: every way alike, and which sample by which way when they aren't."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
from PIL import Image
from skimage import data

from scripts.packing import mar
from scripts.places import ROOT, Places
from tests.server.running import Running, command

pytestmark = pytest.mark.server


def verify(
    server: Running, name: str, *words: str, places: Places | None = None
) -> subprocess.CompletedProcess[str]:
    given = command(places or server.places, "verify", name, *words)
    return subprocess.run(given, cwd=ROOT, capture_output=True, text=True, timeout=120)


def rows(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    return {row["way"]: row for row in json.loads(done.stdout)["ways"]}


@pytest.fixture
def own(server: Running, tmp_path: Path) -> Places:
    """A copy of digits_cnn's folder to alter, beside the archives that are served."""
    shutil.copytree(server.places.models / "digits_cnn", tmp_path / "models" / "digits_cnn")
    return msgspec.structs.replace(server.places, models=tmp_path / "models")


def alter(places: Places, before: str, after: str) -> None:
    path = places.models / "digits_cnn" / "recipe.yaml"
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")


@pytest.mark.parametrize("name", ["digits_cnn", "mobilenet_v2"])
def test_every_way_is_alike_on_samples_and_on_files_that_nothing_was_made_with(
    server: Running, name: str, tmp_path: Path
) -> None:
    photo = tmp_path / "astronaut.jpg"
    Image.fromarray(data.astronaut()).save(photo)
    done = verify(server, name, str(photo), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = rows(done)
    inputs = json.loads(done.stdout)["inputs"]
    assert [(way, row["answered"]) for way, row in found.items()] == [
        (way, inputs) for way in ("local", "archive", "rest", "grpc")
    ]
    worst = {way: (row["from_expect"], row["from_reference"]) for way, row in found.items()}
    print(f"{name}: largest difference from expect and from local: {worst}")
    assert all(one < 1e-4 for pair in worst.values() for one in pair if one is not None)


def test_the_table_says_so_of_torchserve_itself_too(server: Running) -> None:
    config = server.config
    addresses = ("--url", config.inference.url, "--grpc-url", config.grpc_inference.url)
    done = verify(server, "diabetes", *addresses)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "diabetes 1.0: the largest difference of each way"
    assert lines[2].split() == ["way", "answered", "from", "expect", "from", "local"]
    assert [line.split()[0] for line in lines[3:7]] == ["local", "archive", "rest", "grpc"]
    assert lines[-1] == "✓ every way answers alike, within the tolerance"


def test_an_altered_recipe_is_told_with_sample_and_way(server: Running, own: Places) -> None:
    alter(own, "mean: [", "mean: [0.4, 0, 0] #")
    done = verify(server, "digits_cnn", places=own)
    assert done.returncode == 1
    assert "✗ local: sample samples/" in done.stdout
    for way in ("archive", "rest", "grpc"):
        assert f"✗ {way}, samples/" in done.stdout
        assert "local says" in done.stdout
    assert "changed since" in done.stdout
    assert "recipe.yaml" in done.stdout


def test_a_folder_of_another_version_is_compared_by_the_archive_that_serves(
    server: Running, own: Places
) -> None:
    alter(own, 'version: "1.0"', 'version: "1.1"')
    done = verify(server, "digits_cnn", places=own)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "from archive" in done.stdout
    assert "is version 1.1: 1.0 is compared with its archive instead" in done.stdout


def test_a_version_that_nothing_serves_cannot_answer(server: Running, own: Places) -> None:
    alter(own, 'version: "1.0"', 'version: "1.1"')
    done = verify(server, "digits_cnn", "--version", "1.1", places=own)
    assert done.returncode == 1
    assert "✗ archive: " in done.stdout
    assert "✗ rest: digits_cnn has no such version" in done.stdout
    assert "✗ grpc: digits_cnn has no such version" in done.stdout


def test_a_damaged_archive_is_told_and_the_others_are_compared(
    server: Running, own: Places, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    store.mkdir()
    path = mar.path_in(server.places, "digits_cnn", "1.0")
    (store / path.name).write_bytes(path.read_bytes().replace(b"top_k", b"top_j"))
    done = verify(server, "digits_cnn", places=msgspec.structs.replace(own, store=store))
    assert done.returncode == 1
    problems = [line for line in done.stdout.splitlines() if line.startswith("✗")]
    assert len(problems) == 1
    assert problems[0].startswith("✗ archive: ")
    assert "is damaged" in problems[0]


def test_a_file_that_is_not_there_is_one_line(server: Running) -> None:
    done = verify(server, "digits_cnn", "nothing.png")
    assert done.returncode == 1
    assert done.stderr.startswith("pthserve: nothing.png: not found")
