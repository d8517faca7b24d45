"""benchmark against a real server: on the one that runs, and on one that it starts beside all the others."""

import json
from pathlib import Path

import psutil
import pytest

from scripts.places import ROOT, Places
from tests.server.running import Running, private_places, run, temporary

pytestmark = pytest.mark.server


def test_a_running_endpoint_is_measured_as_it_is(server: Running) -> None:
    before = {child.pid for child in server.children()}
    words = ["--connections", "1,4", "--seconds", "1", "--rounds", "1", "--direct", "--no-baselines"]
    done = server.command("benchmark", "digits_mlp", *words, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [(row["contestant"], row["connections"]) for row in found["rows"]] == [
        ("pthserve", 1),
        ("TorchServe, direct", 1),
        ("pthserve", 4),
        ("TorchServe, direct", 4),
    ]
    assert all(row["rounds"][0]["items"] > 0 for row in found["rows"])
    assert 0 < found["memory"]["pthserve"]["workers"] < found["memory"]["pthserve"]["tree"]
    assert found["up_seconds"] is None
    assert {child.pid for child in server.children()} == before


def test_an_endpoint_of_its_own_stands_beside_all_that_could_serve_it(tmp_path: Path) -> None:
    places = private_places(tmp_path)
    report = tmp_path / "report.html"
    words = ["--connections", "1", "--seconds", "1", "--rounds", "1", "--report", str(report)]
    done = run(places, "benchmark", "mobilenet_v2", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    for contestant in ("bare loop", "Flask", "stock handler"):
        assert f"pthserve beside {contestant}: " in done.stdout
    assert "up to READY: " in done.stdout
    assert "<svg" in report.read_text(encoding="utf-8")
    assert left(places) == []
    assert not places.store.exists()


def test_numbers_stand_beside_fastapi(tmp_path: Path) -> None:
    places = private_places(tmp_path)
    words = ["--connections", "4", "--seconds", "1", "--rounds", "1"]
    five = str(ROOT / "models" / "digits_mlp" / "samples" / "five.json")
    done = run(places, "benchmark", "digits_mlp", *words, "--input", five)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pthserve beside FastAPI: " in done.stdout
    assert left(places) == []


def test_memory_and_cold_start_are_told(tmp_path: Path) -> None:
    places = private_places(tmp_path)
    words = ["--memory", "--cold-start", "--rounds", "1", "--json"]
    done = run(places, "benchmark", "mobilenet_v2", *words)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["memory"]["workers"] == 4
    assert found["memory"]["model"] > found["memory"]["idle"] > 0
    assert found["cold_start"]["ours"]["median"] > 0
    assert found["cold_start"]["stock"]["median"] > 0
    assert left(places) == []


def left(places: Places) -> list[list[str]]:
    """Command lines of processes that a benchmark has started and not ended."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if any(str(temporary(places)) in word for word in words):
            found.append(words)
    return found
