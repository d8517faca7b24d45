"""The table of endpoints, and a request for each that works as printed."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from handlers import recipe
from scripts.endpoints import Endpoint, print_endpoints, request_line, samples
from scripts.places import ROOT


def endpoint(folder: Path) -> Endpoint:
    return Endpoint(recipe.load(folder), 2, folder, "http://127.0.0.1:1/predictions/diabetes")


def test_the_request_line_is_quoted_and_seen_from_where_the_user_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "my models" / "diabetes"
    shutil.copytree(ROOT / "models" / "diabetes", folder)
    monkeypatch.chdir(tmp_path)
    line = request_line(endpoint(folder))
    assert (
        line == "curl -T 'my models/diabetes/samples/patient1.json' http://127.0.0.1:1/predictions/diabetes"
    )


def test_self_recorded_samples_are_shown_as_such(tmp_path: Path) -> None:
    folder = tmp_path / "diabetes"
    shutil.copytree(ROOT / "models" / "diabetes", folder)
    text = (folder / "recipe.yaml").read_text(encoding="utf-8")
    kept = text[: text.index("samples:")] + "samples: [{input: samples/patient1.json}]\n"
    (folder / "recipe.yaml").write_text(kept, encoding="utf-8")
    assert samples(recipe.load(folder)) == "1 passed (1 self-recorded)"


def test_what_needs_training_is_printed_with_its_command() -> None:
    stream = io.StringIO()
    print_endpoints([endpoint(ROOT / "models" / "diabetes")], ["big"], Console(file=stream, width=40))
    assert "big needs training: scripts/pthserve train big" in stream.getvalue()
    assert "3 passed" in stream.getvalue()


def test_where_the_page_is_stands_below_the_requests() -> None:
    stream = io.StringIO()
    one = endpoint(ROOT / "models" / "diabetes")
    print_endpoints([one], [], Console(file=stream), page="http://127.0.0.1:8000")
    assert stream.getvalue().splitlines()[-3].startswith("http://127.0.0.1:8000 ")
    stream = io.StringIO()
    print_endpoints([one], [], Console(file=stream))
    assert stream.getvalue().splitlines()[-3].startswith("curl ")


def test_the_table_is_aligned_however_narrow_the_screen() -> None:
    stream = io.StringIO()
    print_endpoints([endpoint(ROOT / "models" / "diabetes")], [], Console(file=stream, width=20))
    lines = stream.getvalue().splitlines()
    assert lines[1].split() == ["endpoint", "version", "workers", "samples", "assumed", "answers"]
    assert lines[2].split() == ["diabetes", "1.0", "2", "3", "passed", "-", "regress"]
    assert lines[1].index("samples") == lines[2].index("3 passed")


def test_what_is_assumed_stands_in_the_table_until_a_sample_proves_it(tmp_path: Path) -> None:
    folder = tmp_path / "diabetes"
    shutil.copytree(ROOT / "models" / "diabetes", folder)
    path = folder / "recipe.yaml"
    text = path.read_text(encoding="utf-8") + "  assumed: [input, output]\n"
    path.write_text(text, encoding="utf-8")

    def shown() -> str:
        stream = io.StringIO()
        print_endpoints([endpoint(folder)], [], Console(file=stream, width=20))
        return " ".join(stream.getvalue().splitlines()[2].split())

    assert shown() == "diabetes 1.0 2 3 passed - regress"
    path.write_text(text[: text.index("samples:")] + "assumed: [input, output]\n", encoding="utf-8")
    assert shown() == "diabetes 1.0 2 none input, output regress"


def test_without_a_recipe_here_the_request_has_a_place_for_the_file(tmp_path: Path) -> None:
    one = Endpoint(recipe.load(ROOT / "models" / "diabetes"), 1, tmp_path / "gone", "http://127.0.0.1:1/x")
    assert request_line(one) == "curl -T FILE http://127.0.0.1:1/x"
