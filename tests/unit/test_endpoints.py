"""The table of endpoints, and a request for each that works as printed."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from handlers import recipe
from scripts.catalog import Entry
from scripts.endpoints import Endpoint, print_endpoints, request_line
from scripts.places import ROOT


def endpoint(folder: Path) -> Endpoint:
    return Endpoint(Entry("diabetes", folder, recipe.load(folder)), "http://127.0.0.1:1/predictions/diabetes")


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
    assert endpoint(folder).samples == "1 passed (1 self-recorded)"


def test_what_needs_training_is_printed_with_its_command() -> None:
    stream = io.StringIO()
    print_endpoints([endpoint(ROOT / "models" / "diabetes")], ["big"], Console(file=stream, width=40))
    assert "big needs training: scripts/pthserve train big" in stream.getvalue()
    assert "3 passed" in stream.getvalue()
