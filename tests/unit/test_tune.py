"""tune on the command line: what is refused before minutes are spent, and what becomes of the recipe."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from msgspec.structs import replace
from rich.console import Console

from handlers import recipe
from scripts import tune as verb
from scripts.benchmarking import extra
from scripts.benchmarking.figures import Round, Row
from scripts.errors import CommandError
from scripts.places import Places
from scripts.tune import Asked, tune
from scripts.tuning.score import Measured
from scripts.tuning.search import Found
from scripts.tuning.setting import Setting, of
from tests import tiny_models


@pytest.fixture
def places(tmp_path: Path) -> Places:
    tiny_models.write(tmp_path / "models" / "tiny", "return x * self.scale")
    return Places(models=tmp_path / "models", store=tmp_path / "store", state=tmp_path / "state")


def pretend(
    monkeypatch: pytest.MonkeyPatch, places: Places, *, rate: float = 200.0, **parts: object
) -> Setting:
    """A search that found a setting with these parts twice as fast as the present one; the present."""
    start = of(recipe.load(places.models / "tiny"))
    best = replace(start, **parts)

    def measured(setting: Setting, rate: float) -> Measured:
        row = Row(str(setting), 8, (Round(1.0, int(abs(rate)), 4, 6, 9.0, {"503": 1} if rate < 0 else {}),))
        return Measured(setting, (row,))

    both = [measured(start, rate / 2)] if best == start else [measured(start, rate / 2), measured(best, rate)]
    monkeypatch.setattr(verb, "_found", lambda *_: Found(start, best, both, ["something to know"]))
    return start


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (Asked("tiny", latency="50"), "--latency is '50'; give a time above 0 with its unit: 50ms, 0.05s"),
        (Asked("tiny", latency="5ms", throughput=True), "--latency and --throughput are two goals"),
        (Asked("tiny", report=Path("a.pdf")), "--report is 'a.pdf'; its name must end in"),
        (Asked("tiny", report=Path("nowhere/a.png")), "its folder isn't there"),
        (Asked("nothing"), "there is no model 'nothing'"),
        (Asked("tiny"), "tiny has no samples; give a request: --input FILE"),
        (Asked("tiny", input=Path("nowhere.json")), "nowhere.json: No such file"),
    ],
)
def test_what_cannot_be_tuned_is_told_first(
    places: Places, console: Console, asked: Asked, told: str
) -> None:
    with pytest.raises(CommandError, match=re.escape(told)):
        tune(places, asked, console)


def test_a_missing_extra_is_told(places: Places, console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extra, "find_spec", lambda name: None if name == "uvloop" else object())
    with pytest.raises(CommandError, match="uvloop isn't installed; run `scripts/pthserve setup bench`"):
        tune(places, Asked("tiny"), console)


def test_the_diff_is_proposed_and_nothing_is_written(
    places: Places, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, places, batch=32)
    path = places.models / "tiny" / "recipe.yaml"
    before = path.read_bytes()
    assert tune(places, Asked("tiny"), console) == 0
    text = printed(console)
    assert "\n-batchSize: 8\n+batchSize: 32\n" in text
    assert "200 items/s at 8 connections, 2.00 times the present setting's, p99 9.00 ms" in text
    assert "NOTE: something to know" in text
    assert "--write writes it" in text
    assert path.read_bytes() == before


def test_write_changes_the_recipe_and_nothing_else(
    places: Places, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = pretend(monkeypatch, places, batch=32, runtime="eager")
    folder = places.models / "tiny"
    others = {path: path.read_bytes() for path in folder.iterdir() if path.name != "recipe.yaml"}
    assert tune(places, Asked("tiny", write=True), console) == 0
    assert of(recipe.load(folder)) == replace(start, batch=32, runtime="eager")
    assert {path: path.read_bytes() for path in folder.iterdir() if path.name != "recipe.yaml"} == others
    assert "recipe.yaml: written" in printed(console)
    assert "then: scripts/pthserve optimise tiny" in printed(console)


def test_a_version_that_is_packed_has_to_be_raised(
    places: Places, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, places, batch=32)
    places.store.mkdir()
    (places.store / "tiny-1.0.mar").touch()
    assert tune(places, Asked("tiny"), console) == 0
    assert "then: raise handler.version above '1.0'" in printed(console)


def test_nothing_better_leaves_the_recipe(
    places: Places, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, places)
    path = places.models / "tiny" / "recipe.yaml"
    before = path.stat()
    assert tune(places, Asked("tiny", write=True), console) == 0
    assert path.stat() == before
    assert "the present setting stays, nothing was clearly better" in printed(console)


def test_a_latency_that_nothing_keeps_is_exit_status_1(
    places: Places, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, places, batch=32)
    path = places.models / "tiny" / "recipe.yaml"
    before = path.read_bytes()
    assert tune(places, Asked("tiny", latency="8ms", write=True), console) == 1
    assert "✗ no setting keeps a p99 of 8 ms; the nearest has 9.00 ms: 1 worker" in printed(console)
    assert path.read_bytes() == before


def test_errors_everywhere_are_exit_status_1(
    places: Places, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, places, rate=-200.0, batch=32)
    assert tune(places, Asked("tiny"), console) == 1
    assert "every setting answered some requests badly" in printed(console)


def test_a_recipe_that_changed_meanwhile_is_not_overwritten(
    places: Places, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, places, batch=32)
    path = places.models / "tiny" / "recipe.yaml"
    found = verb._found

    def meanwhile(*given: object) -> Found:
        path.write_text(path.read_text() + "# mine\n")
        return found(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(verb, "_found", meanwhile)
    with pytest.raises(CommandError, match="was changed meanwhile; take the lines of the diff by hand"):
        tune(places, Asked("tiny", write=True), console)
    assert path.read_text().endswith("# mine\n")


def test_the_report_is_written(
    places: Places, console: Console, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pretend(monkeypatch, places, batch=32)
    assert tune(places, Asked("tiny", report=tmp_path / "found.html"), console) == 0
    assert b"<svg" in (tmp_path / "found.html").read_bytes()
