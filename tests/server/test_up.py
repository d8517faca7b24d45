"""`up` from start to stop: what fails is one line with the remedy, the others come up, nothing is left."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from scripts.places import ROOT, Places
from tests.server.running import Running, command, environment, private_places, run, temporary

pytestmark = pytest.mark.server


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder of recipes of one's own, to be broken."""
    folder = tmp_path / "models"
    for name in ("diabetes", "digits_cnn"):
        shutil.copytree(ROOT / "models" / name, folder / name)
    return folder


@pytest.fixture
def places(tmp_path: Path, models: Path) -> Iterator[Places]:
    chosen = private_places(tmp_path / "private", models)
    yield chosen
    shutil.rmtree(temporary(chosen))


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def left_behind(places: Places) -> list[str]:
    return [path.name for path in temporary(places).iterdir()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_stops_everything_and_leaves_nothing(places: Places, number: signal.Signals) -> None:
    running = Running(places, "diabetes")
    running.wait_serving()
    family = psutil.Process(running.process.pid).children(recursive=True)
    assert {"java"} <= {child.name() for child in family}
    assert running.stop(number) == 0
    assert psutil.wait_procs(family, timeout=5)[1] == []
    assert left_behind(places) == []


def test_a_signal_while_packing_stops_as_cleanly(places: Places) -> None:
    running = Running(places)
    running.wait(lambda: any("rehearse.py" in _command(child) for child in _family(running)))
    family = _family(running)
    assert running.stop(signal.SIGTERM) == 130
    assert psutil.wait_procs(family, timeout=5)[1] == []
    assert left_behind(places) == []
    assert list(places.store.glob("*")) == []


def _family(running: Running) -> list[psutil.Process]:
    try:
        return psutil.Process(running.process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _command(process: psutil.Process) -> str:
    """Its command line, empty where it is ending already."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # a zombie among them
        return ""


def test_broken_models_are_named_with_the_remedy_and_the_others_come_up(models: Path, places: Places) -> None:
    shutil.copytree(models / "diabetes", models / "twin")
    edit(models / "twin" / "recipe.yaml", "name: diabetes", "name: twin")
    edit(models / "twin" / "recipe.yaml", "batchSize: 8", "batchSize: eight")
    shutil.copytree(models / "digits_cnn", models / "shifted")
    edit(models / "shifted" / "recipe.yaml", "name: digits_cnn", "name: shifted")
    edit(models / "shifted" / "recipe.yaml", "mean: [0.5, 0.5, 0.5]", "mean: [0.4, 0.5, 0.5]")
    running = Running(places)
    try:
        running.wait_serving()
        text = running.text()
        assert "batchSize is 'eight'; must be a whole number of at least 1" in text
        line = next(line for line in text.splitlines() if line.startswith("✗ shifted"))
        assert "expected" in line
        assert "mean and std" in line
        assert "✓ diabetes: " in text
        assert "✓ digits_cnn: " in text
    finally:
        status = running.stop()
    assert status == 1


def test_a_sample_that_fails_inside_the_worker_is_told_with_the_workers_reason(
    models: Path, places: Places
) -> None:
    """The archive was good where it was packed, and what the worker sees differs."""
    assert run(places, "archive", "diabetes").returncode == 0
    edit(models / "diabetes" / "recipe.yaml", "batchSize: 8", "batchSize: 4")
    edit(models / "diabetes" / "recipe.yaml", 'version: "1.0"', 'version: "1.1"')
    original = places.store / "diabetes-1.0.mar"
    tampered = places.store / "diabetes-1.1.mar"
    tampered.write_bytes(original.read_bytes().replace(b"SigmoidLayer", b"SigmoidLayes", 1))
    done = run(places, "up", "diabetes")
    assert done.returncode == 1
    assert "recipe.yaml" in done.stdout


def test_a_port_in_use_is_one_line_with_the_remedy(places: Places) -> None:
    port = int(
        next(
            line for line in places.config.read_text().splitlines() if "inference_address=http" in line
        ).rpartition(":")[2]
    )
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        done = run(places, "up")
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr
    assert "inference_address" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_names_choose_what_is_served(places: Places) -> None:
    running = Running(places, "diabetes")
    try:
        running.wait_serving()
        assert running.worker_pids("diabetes")
        assert not running.worker_pids("digits_cnn")
    finally:
        assert running.stop() == 0


def test_an_unknown_name_is_told_with_those_that_there_are(places: Places) -> None:
    done = run(places, "up", "diabetis")
    assert done.returncode == 1
    assert "diabetes, digits_cnn" in done.stdout


def test_a_temporary_directory_too_deep_for_sockets_is_told(places: Places, tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 80)
    deep.mkdir()
    done = subprocess.run(
        command(places, "up", "diabetes"),
        cwd=ROOT,
        env={**environment(places), "TMPDIR": str(deep)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "set TMPDIR to a shorter one" in done.stderr
    assert list(deep.iterdir()) == []


SLEEPS_IN_A_WORKER = """
import os, pathlib, time
if "PTHSERVE_FAILURES" in os.environ:
    pathlib.Path({path!r}).touch()
    time.sleep(120)
"""


def test_a_signal_while_a_worker_starts_does_not_wait_for_it(models: Path, places: Places) -> None:
    with (models / "diabetes" / "model.py").open("a", encoding="utf-8") as model:
        model.write(SLEEPS_IN_A_WORKER.format(path=str(places.state / "asleep")))
    running = Running(places, "diabetes")
    running.wait(lambda: (places.state / "asleep").exists())
    family = _family(running)
    assert running.stop(signal.SIGTERM) == 130
    assert psutil.wait_procs(family, timeout=5)[1] == []
    assert left_behind(places) == []
    assert "READY" not in running.text()


def test_folders_may_have_names_beyond_ascii(tmp_path: Path, models: Path) -> None:
    odd = private_places(tmp_path / "größe 日本", models)
    running = Running(odd, "diabetes")
    try:
        running.wait_serving()
    finally:
        assert running.stop() == 0
        shutil.rmtree(temporary(odd))
