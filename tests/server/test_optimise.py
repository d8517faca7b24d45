"""optimise, and a real TorchServe that serves by what it keeps."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest
import requests
from msgspec.structs import replace

from handlers.handler import Handler
from handlers.runtimes import decision
from handlers.wire import Row
from scripts import archive, catalog
from scripts.optimising.measurement import measure
from scripts.places import ROOT, Places
from scripts.processes.children import Children
from tests.server.running import Running, private_places, run, temporary

pytestmark = pytest.mark.server


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """digits_cnn, which names its runtime: so it is the same on every machine."""
    where = private_places(tmp_path / "private", models=tmp_path / "models")
    copied(where)
    return where


def copied(places: Places) -> Path:
    folder = places.models / "digits_cnn"
    shutil.copytree(ROOT / "models" / "digits_cnn", folder, ignore=shutil.ignore_patterns("optimised"))
    recipe = folder / "recipe.yaml"
    recipe.write_text(recipe.read_text(encoding="utf-8") + "  runtime: onnxruntime\n", encoding="utf-8")
    return folder


def test_artifacts_and_archive_are_the_same_bytes_wherever_they_are_made(
    places: Places, tmp_path: Path
) -> None:
    other = replace(places, models=tmp_path / "other", store=tmp_path / "store")
    folders = [places.models / "digits_cnn", copied(other)]
    with Children() as children:
        found = [measure(catalog.find(one, "digits_cnn"), one, children, 300) for one in (places, other)]
        assert found[0].files == found[1].files
        shutil.copyfile(*(folder / "optimised" / "decision.json" for folder in folders))  # it tells times
        packed = [
            archive.archive(catalog.find(one, "digits_cnn"), one, children).path for one in (places, other)
        ]
    assert packed[0].read_bytes() == packed[1].read_bytes()
    with zipfile.ZipFile(packed[0]) as content:
        names = {name for name in content.namelist() if name.startswith("optimised/")}
    assert names == {"optimised/decision.json", *(f"optimised/{name}" for name in found[0].files)}


def test_up_optimises_and_serves_by_what_it_keeps_with_the_same_answers(places: Places) -> None:
    folder = places.models / "digits_cnn"
    running = Running(places, "--optimise")
    try:
        running.wait_serving()
        assert "✓ digits_cnn: onnxruntime, " in running.text()
        kept = decision.read(folder)
        assert kept is not None
        assert kept.chosen.runtime == "onnxruntime"
        seen = running.seen().versions("digits_cnn")["1.0"]
        assert seen.runtime == "onnxruntime"
        verified = running.command("verify", "digits_cnn")
        assert "✓ every way answers alike" in verified.stdout, verified.stdout + verified.stderr
        body = (folder / "samples" / "seven.png").read_bytes()
        answer = requests.post(running.url("digits_cnn"), data=body, timeout=30).json()
        eager = Handler.open(folder, reference=True).predict([Row({"body": body})])[0]
        expected = json.loads(eager.body)["predictions"]
        for one, other in zip(answer["predictions"], expected, strict=True):
            assert one["label"] == other["label"]
            assert one["score"] == pytest.approx(other["score"], abs=1e-4)
    finally:
        running.stop()
        shutil.rmtree(temporary(places))


def test_archive_refuses_a_runtime_that_nothing_proves_and_tells_the_remedy(places: Places) -> None:
    done = run(places, "archive", "digits_cnn")
    assert done.returncode == 1
    assert (
        "handler.runtime is 'onnxruntime', and no decision keeps it; scripts/pthserve optimise" in done.stdout
    )
    shutil.rmtree(temporary(places))
