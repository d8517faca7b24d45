"""predict as users type it, on what `up` serves: one file, stdin, a folder, a table."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.places import ROOT
from tests.answers import largest_difference
from tests.server.running import Running, command

pytestmark = pytest.mark.server

WAYS = ["--local", "--rest", "--grpc"]
CORRUPT = {"07.png": b"", "19.png": b"\x89PNG\r\n\x1a\n cut short", "33.png": b"no picture"}


def predict(
    server: Running, way: str, name: str, source: Path | str, *options: str, given: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    words = command(server.places, "predict", name, str(source), way, *options)
    return subprocess.run(words, cwd=ROOT, input=given, capture_output=True, timeout=120)


@pytest.fixture(scope="module")
def pictures(server: Running, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 files in two folders, three of them corrupt."""
    folder = tmp_path_factory.mktemp("pictures")
    samples = sorted((server.places.models / "digits_cnn" / "samples").glob("*.png"))
    (folder / "more").mkdir()
    for index in range(40):
        name = f"{index:02}.png"
        path = folder / ("more" if index >= 35 else "") / name
        if name in CORRUPT:
            path.write_bytes(CORRUPT[name])
        else:
            shutil.copyfile(samples[index % len(samples)], path)
    return folder


@pytest.mark.parametrize(("name", "file"), [("digits_cnn", "seven.png"), ("diabetes", "patient1.json")])
def test_the_output_is_the_same_every_way(server: Running, name: str, file: str) -> None:
    sample = server.places.models / name / "samples" / file
    done = [predict(server, way, name, sample) for way in WAYS]
    assert [(one.returncode, one.stderr) for one in done] == [(0, b"")] * 3
    assert len({one.stdout for one in done}) == 1
    assert done[0].stdout.count(b"\n") == 1


def test_a_corrupt_file_is_refused_in_the_same_words_every_way(server: Running, pictures: Path) -> None:
    done = [predict(server, way, "digits_cnn", pictures / "19.png") for way in WAYS]
    assert [one.returncode for one in done] == [1, 1, 1]
    assert len({one.stderr for one in done}) == 1
    assert done[0].stderr.startswith(b"pthserve: ")
    assert done[0].stdout == b""


def test_stdin_is_a_file_too(server: Running) -> None:
    sample = server.places.models / "digits_cnn" / "samples" / "seven.png"
    done = predict(server, "--rest", "digits_cnn", "-", given=sample.read_bytes())
    assert json.loads(done.stdout)["predictions"][0]["label"] == "seven"


def test_a_folder_is_scored_in_order_and_its_failures_are_listed(server: Running, pictures: Path) -> None:
    done = {way: predict(server, way, "digits_cnn", pictures) for way in WAYS}
    names = sorted(path.relative_to(pictures).as_posix() for path in pictures.rglob("*.png"))
    lines = {way: [json.loads(line) for line in one.stdout.splitlines()] for way, one in done.items()}
    for way, one in done.items():
        assert one.returncode == 1
        assert [line["file"] for line in lines[way]] == names
        assert {line["file"] for line in lines[way] if "error" in line} == CORRUPT.keys()
        assert one.stderr == done["--local"].stderr
        # requests that share a batch may differ in the last digit from one that is alone
        assert largest_difference(lines["--local"], lines[way]) < 1e-5
    told = done["--local"].stderr.decode().splitlines()
    assert told[0] == "3 of 40 files failed:"
    assert [line.split(":")[0].strip() for line in told[1:]] == sorted(CORRUPT)


def test_a_table_has_a_row_for_each_file(server: Running, pictures: Path) -> None:
    done = predict(server, "--grpc", "digits_cnn", pictures, "--csv", "--jobs", "3")
    rows = list(csv.DictReader(done.stdout.decode().splitlines()))
    assert len(rows) == 40
    assert list(rows[0]) == ["file", "label", "score", "error"]
    assert {row["file"] for row in rows if row["error"]} == CORRUPT.keys()
    assert rows[0]["label"] == "four"


def test_an_unknown_model_is_one_line(server: Running, pictures: Path) -> None:
    for source in (pictures, pictures / "00.png"):
        done = predict(server, "--rest", "nothing", source)
        assert done.returncode == 1
        assert done.stdout == b""
        assert done.stderr.startswith(b"pthserve: ")
        assert len(done.stderr.splitlines()) == 1


def test_torchserve_itself_answers_where_there_is_no_gateway(server: Running) -> None:
    sample = server.places.models / "digits_cnn" / "samples" / "seven.png"
    config = server.config
    rest = predict(server, "--rest", "digits_cnn", sample, "--url", config.inference.url)
    grpc = predict(server, "--grpc", "digits_cnn", sample, "--url", config.grpc_inference.url)
    assert rest.returncode == grpc.returncode == 0
    assert rest.stdout == grpc.stdout
