"""tune on a real server: settings that serve side by side on its own `up`, and nothing left behind."""

from __future__ import annotations

import shutil
from pathlib import Path

import psutil
import pytest

from tests.server import endpoints, running
from tests.server.running import private_places, temporary

pytestmark = pytest.mark.server


def test_settings_are_measured_on_an_own_up_that_ends(tmp_path: Path) -> None:
    models = tmp_path / "models"
    folder = endpoints.write(models, "scaled", maxBatchDelay=1)
    endpoints.with_sample(folder, endpoints.answer(0))
    path = folder / "recipe.yaml"
    path.write_text(f"# kept\n{path.read_text(encoding='utf-8')}", encoding="utf-8")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    places = private_places(tmp_path / "own", models=models)
    report = tmp_path / "found.html"
    try:
        done = running.run(
            places, "tune", "scaled", "--minutes", "2", "--connections", "2", "--report", str(report)
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "items/s" in done.stdout
        assert "present" in done.stdout
        assert "✓ scaled: " in done.stdout
        assert b"<svg" in report.read_bytes()
        assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
        assert not list(places.store.glob("*.mar"))
        left = [path.name for path in temporary(places).iterdir() if path.name.startswith("pthserve-")]
        assert left == []
        assert not [one for one in psutil.process_iter(["cmdline"]) if _ours(one, temporary(places))]
    finally:
        shutil.rmtree(temporary(places), ignore_errors=True)


def _ours(process: psutil.Process, folder: Path) -> bool:
    return any(str(folder) in word for word in process.info["cmdline"] or [])
