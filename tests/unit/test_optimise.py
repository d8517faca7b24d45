"""optimise, and what archive, check and up make of its decision."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec.structs import replace
from rich.console import Console

from handlers import processor, runtimes, seal
from handlers.runtimes import decision
from handlers.runtimes.decision import EAGER, Candidate, Decision, Tried
from scripts import archive, catalog, optimise
from scripts.catalog import Entry
from scripts.checking import steps
from scripts.checking.finding import Finding
from scripts.checking.steps import step
from scripts.checking.steps.trial import Trial
from scripts.errors import CommandError
from scripts.optimising import first, measurement, publishing, standing, table
from scripts.optimising.seen import Began, Decided, Dropped, Refused, Seen
from scripts.packing import mar, staging
from scripts.places import Places
from scripts.processes.children import Children
from scripts.serving import startup
from tests import tiny_models
from tests.states import printed

VINO = Candidate("openvino")
FILE = "openvino-float32/model.xml"


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(models=tmp_path / "models", store=tmp_path / "store", state=tmp_path / "state")


def tiny(places: Places, name: str = "tiny", **handler: object) -> Entry:
    tiny_models.write(
        places.models / name, "return x * self.scale", **{"name": name, "runtime": "auto", **handler}
    )
    return catalog.find(places, name)


def made(entry: Entry, chosen: Candidate = VINO, **changes: Any) -> Decision:
    """A decision for these files on this machine."""
    model = entry.recipe.handler
    rows = [
        Tried(EAGER, "kept" if chosen == EAGER else "slower", error=0.0, ms_one=2.0, ms_full=8.0),
        Tried(VINO, "kept" if chosen == VINO else "tie", error=1.4e-5, ms_one=1.0, ms_full=4.0, bytes=3),
    ]
    found = Decision(
        chosen,
        decision.inputs(model, entry.folder),
        processor.kind(torch.device("cpu")),
        {},
        2,
        8,
        tuple(rows),
    )
    if chosen == VINO:
        digest = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"  # of foo
        found = replace(found, files={FILE: digest})
    return replace(found, **changes)


def put(entry: Entry, places: Places, tmp_path: Path, found: Decision) -> None:
    """Written beside the recipe, as `optimise` does."""
    built = tmp_path / "built"
    (built / "openvino-float32").mkdir(parents=True, exist_ok=True)
    (built / FILE).write_text("foo")
    publishing.publish(found, built, entry, places)


def test_the_decision_and_what_it_keeps_replace_what_was_there_as_a_whole(
    places: Places, tmp_path: Path
) -> None:
    entry = tiny(places)
    put(entry, places, tmp_path, made(entry))
    assert decision.read(entry.folder) == made(entry)
    assert standing.standing(entry) == "current"
    put(entry, places, tmp_path, made(entry, EAGER))
    assert [path.name for path in (entry.folder / "optimised").rglob("*")] == ["decision.json"]
    assert sorted(path.name for path in entry.folder.iterdir()) == [
        *("model.py", "optimised", "recipe.yaml", "weights.pth")
    ]


@pytest.mark.parametrize("killed_at", ["write", "rename"])
def test_a_run_that_is_killed_leaves_no_half(
    places: Places, tmp_path: Path, killed_at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = tiny(places)
    put(entry, places, tmp_path, made(entry))
    left = entry.folder / ".optimised.new.1"
    left.mkdir()  # of one that was killed before

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    if killed_at == "write":
        monkeypatch.setattr(decision, "write", killed)
    else:
        monkeypatch.setattr(publishing, "_exchange", killed)
    with pytest.raises(KeyboardInterrupt):
        put(entry, places, tmp_path, made(entry, EAGER))
    assert standing.current(entry) == made(entry)
    assert not left.exists()


def test_a_decision_stands_as_long_as_nothing_that_it_depends_on_changes(
    places: Places, tmp_path: Path
) -> None:
    entry = tiny(places)
    assert standing.standing(entry) == "none"
    put(entry, places, tmp_path, made(entry, processor="a toaster"))
    assert standing.standing(entry) == "elsewhere"
    put(entry, places, tmp_path, made(entry, libraries={"torch": "0.1"}))
    assert standing.standing(entry) == "elsewhere"
    put(entry, places, tmp_path, made(entry))
    (entry.folder / "optimised" / FILE).write_text("bar")
    assert standing.standing(entry) == "stale"
    put(entry, places, tmp_path, made(entry))
    torch.save({"scale": torch.zeros(1)}, entry.folder / "weights.pth")
    assert standing.standing(entry) == "stale"
    assert standing.standing(tiny(places, "named", runtime="eager")) == "not needed"


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff"])
def test_a_decision_that_cant_be_read_is_none_that_stands(places: Places, content: bytes) -> None:
    entry = tiny(places)
    (entry.folder / "optimised").mkdir()
    (entry.folder / "optimised" / "decision.json").write_bytes(content)
    assert standing.standing(entry) == "stale"
    assert list(standing.files(entry)) == []


def test_files_that_cant_be_read_prove_nothing(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = tiny(places)
    put(entry, places, tmp_path, made(entry))

    def refused(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(seal, "sha256", refused)
    assert standing.standing(entry) == "stale"
    assert first.undecided(entry, places)


def test_a_precision_that_did_not_pass_is_said(places: Places, tmp_path: Path) -> None:
    entry = tiny(places, precision="bfloat16")
    found = made(entry)
    put(entry, places, tmp_path, found)
    (note,) = standing.notes(entry)
    assert note.startswith("NOTE: bfloat16 didn't pass, openvino serves")
    lower = replace(found, tried=(Tried(Candidate("eager", "bfloat16"), "slower"), *found.tried))
    put(entry, places, tmp_path, lower)
    assert standing.notes(entry) == []


def test_the_folder_is_called_as_the_runtimes_call_it() -> None:
    assert f"{decision.FOLDER}/{decision.FILE_NAME}" == standing.PLACE


def staged(entry: Entry, tmp_path: Path) -> set[str]:
    shutil.rmtree(tmp_path / "scratch", ignore_errors=True)
    folder = staging.stage(entry, tmp_path / "scratch")
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {name for name in names if name.startswith("optimised")}


def test_only_a_current_decision_is_packed_with_its_artifacts(places: Places, tmp_path: Path) -> None:
    entry = tiny(places)
    assert staged(entry, tmp_path) == set()
    put(entry, places, tmp_path, made(entry))
    assert staged(entry, tmp_path) == {"optimised/decision.json", f"optimised/{FILE}"}
    (entry.folder / "model.py").write_text("# another")
    assert staged(entry, tmp_path) == set()


@pytest.mark.parametrize(
    ("state", "told"),
    [("none", "nothing is decided on its runtime"), ("stale", "decided for other files"), ("current", "")],
)
def test_archive_says_where_eager_serves_for_want_of_a_decision(
    places: Places, tmp_path: Path, state: str, told: str
) -> None:
    entry = tiny(places, samples=[])
    if state != "none":
        put(entry, places, tmp_path, made(entry, inputs="other") if state == "stale" else made(entry))
    found = [note for note in archive._unproven(entry) if "runtime" in note]
    assert [told in note and "scripts/pthserve optimise tiny" in note for note in found] == [True] * bool(
        told
    )


class Sealed:
    """An archive that holds these files of the model's folder."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, *names: str) -> None:
        from handlers import seal

        digests = {name: seal.sha256(folder / name) for name in names}
        monkeypatch.setattr(mar, "read_seal", lambda _: seal.Seal("tiny", "1.0", digests, {}))


MINE = ("recipe.yaml", "model.py", "weights.pth")


def test_what_is_decided_anew_differs_from_what_an_archive_holds(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = tiny(places)
    put(entry, places, tmp_path, made(entry))
    Sealed(monkeypatch, entry.folder, *MINE, "optimised/decision.json", f"optimised/{FILE}")
    assert mar.differences(entry, tmp_path) == []
    put(entry, places, tmp_path, made(entry, EAGER))
    assert mar.differences(entry, tmp_path) == ["optimised/decision.json", f"optimised/{FILE}"]
    shutil.rmtree(entry.folder / "optimised")
    assert mar.differences(entry, tmp_path) == []  # decided elsewhere, where it was packed


def test_an_archive_tells_which_library_of_its_runtime_is_another_now() -> None:
    content = json.dumps(
        {"libraries": {"torch": "0.1", "gone": "1", "msgspec": _installed("msgspec")}}
    ).encode()
    assert standing.otherwise(content) == {"torch", "gone"}


def _installed(name: str) -> str:
    from importlib import metadata

    return metadata.version(name)


def looked(entry: Entry) -> dict[str, Finding]:
    """What the required steps find in the model's folder."""
    found = step.findings(Trial(entry.folder), steps.REQUIRED)
    return {one.what: one for one in found}


class Changed:
    """OpenVINO's place taken by eager, which answers so much more."""

    LIBRARIES: tuple[str, ...] = ()

    def __init__(self, more: float, fails: bool = False) -> None:
        self._more = more
        self._fails = fails

    def open_runtime(self, model: Any, folder: Path, setting: Any, artifacts: Path) -> Callable[..., Any]:
        if self._fails:
            raise RuntimeError("no such file")
        run = runtimes.reference(model, folder, setting.device, setting.threads).run
        return lambda batch: run(batch) + self._more


@pytest.fixture
def changed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def install(more: float = 0.0, *, fails: bool = False) -> None:
        monkeypatch.setattr(runtimes, "named", lambda _: Changed(more, fails))

    return install


SAMPLE = {"samples": [{"input": "a.json", "expect": [1.0, 2.0]}]}


def sampled(places: Places, **handler: object) -> Entry:
    entry = tiny(places, **{**SAMPLE, **handler})
    (entry.folder / "a.json").write_text("[1, 2]")
    return entry


def test_samples_are_replayed_by_what_will_really_serve(
    places: Places, tmp_path: Path, changed: Callable[..., None]
) -> None:
    entry = sampled(places)
    assert looked(entry)["runtime"].detail == "eager"
    put(entry, places, tmp_path, made(entry))
    changed(5e-5)
    found = looked(entry)
    assert found["runtime"].detail == "openvino, whose answer differs by 5e-05 from eager's"
    assert "differs by 5e-05" in found["samples"].detail
    changed(0.5)
    found = looked(entry)
    assert found["runtime"].verdict == "fail"
    assert "expected 1, got 1.5" in found["runtime"].detail
    assert found["samples"].verdict == "skip"


def test_answers_are_recorded_by_the_reference(
    places: Places, tmp_path: Path, changed: Callable[..., None]
) -> None:
    import numpy as np

    entry = sampled(places, samples=[{"input": "a.json"}])
    put(entry, places, tmp_path, made(entry))
    changed(5e-5)
    assert {one.verdict for one in looked(entry).values()} == {"pass"}
    assert np.load(entry.folder / "a.json.recorded.npy").tolist() == [1.0, 2.0]


def test_a_decided_runtime_that_doesnt_open_is_refused_before_a_worker_falls_back(
    places: Places, tmp_path: Path, changed: Callable[..., None]
) -> None:
    entry = sampled(places)
    put(entry, places, tmp_path, made(entry))
    changed(fails=True)
    found = looked(entry)["runtime"]
    assert found.verdict == "fail"
    assert "no such file" in found.detail
    assert found.remedy == "scripts/pthserve optimise tiny"


def test_what_only_this_machine_cant_execute_is_a_warning(places: Places, tmp_path: Path) -> None:
    entry = sampled(places)
    put(entry, places, tmp_path, made(entry, processor="a toaster"))
    found = looked(entry)
    assert found["runtime"].verdict == "warn"
    assert "a toaster" in found["runtime"].detail
    assert found["samples"].verdict == "pass"


def test_a_named_runtime_without_a_decision_that_keeps_it_is_refused(
    places: Places, tmp_path: Path, changed: Callable[..., None]
) -> None:
    entry = sampled(places, runtime="openvino")
    told = looked(entry)["runtime"]
    assert told.verdict == "fail"
    assert told.detail == "handler.runtime is 'openvino', and no decision keeps it"
    assert "scripts/pthserve optimise tiny" in told.remedy
    put(entry, places, tmp_path, made(entry, EAGER))
    assert looked(entry)["runtime"].verdict == "fail"
    put(entry, places, tmp_path, made(entry))
    changed()
    assert looked(entry)["runtime"].verdict == "pass"


Runs = list[tuple[list[Seen], str]]


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[[Runs], list[list[Tried]]]:
    """Interpreters that tell so and end so, one after the other; which rows each was given."""

    def install(runs: Runs) -> list[list[Tried]]:
        given: list[list[Tried]] = []
        left = iter(runs)

        def run(entry: Entry, places: Places, children: Children, scratch: Path, seconds: float) -> Any:
            import msgspec

            given.append(msgspec.json.decode((scratch / "out.json").read_bytes(), type=list[Tried]))
            return *next(left), "the log"

        monkeypatch.setattr(measurement, "_run", run)
        return given

    return install


def test_what_ends_the_interpreter_is_out_and_the_others_go_on(
    places: Places, scripted: Callable[[Runs], list[list[Tried]]]
) -> None:
    entry = tiny(places)
    differs = Tried(Candidate("onnxruntime"), "differs", "by far")
    began = [Began(None, 9), Began(EAGER, 9), Dropped(differs), Began(VINO, 9)]
    given = scripted([(began, "killed by SIGSEGV"), ([Began(None, 9), Decided(made(entry, EAGER))], "")])
    with Children() as children:
        assert measurement.measure(entry, places, children, 60).chosen == EAGER
    assert given == [[], [differs, Tried(VINO, "failed", "killed by SIGSEGV")]]
    assert decision.read(entry.folder) is not None


@pytest.mark.parametrize("told", [[], [Began(None, 9)], [Began(None, 9), Refused("no sample", "give one")]])
def test_a_model_that_isnt_measured_keeps_what_it_had(
    told: list[Seen], places: Places, tmp_path: Path, scripted: Callable[[Runs], list[list[Tried]]]
) -> None:
    entry = tiny(places)
    put(entry, places, tmp_path, made(entry))
    scripted([(told, "killed by SIGKILL")])
    with Children() as children, pytest.raises(CommandError, match=r"killed by SIGKILL|no sample; give one"):
        measurement.measure(entry, places, children, 60)
    assert standing.current(entry) == made(entry)


def test_a_candidate_that_ends_every_interpreter_doesnt_go_on_for_ever(
    places: Places, scripted: Callable[[Runs], list[list[Tried]]]
) -> None:
    began: list[Seen] = [Began(None, 9), Began(VINO, 9)]
    scripted([(began, "killed"), (began, "killed again")])
    with Children() as children, pytest.raises(CommandError, match="killed again"):
        measurement.measure(tiny(places), places, children, 60)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> dict[str, Decision | Exception]:
    """What measuring a model of that name gives."""
    outcomes: dict[str, Decision | Exception] = {}

    def measure(entry: Entry, places: Places, *_: object) -> Decision:
        found = outcomes[entry.name]
        if isinstance(found, Exception):
            raise found
        measurement.log_of(entry, places).parent.mkdir(parents=True, exist_ok=True)
        measurement.log_of(entry, places).touch()
        return found

    monkeypatch.setattr(optimise, "measure", measure)
    monkeypatch.setattr(first, "measure", measure)
    return outcomes


def told(places: Places, *names: str) -> tuple[int, str]:
    console = Console(file=io.StringIO(), width=40)
    return optimise.optimise_all(places, names, 60, False, console), printed(console)


def test_optimise_prints_the_table_and_what_it_keeps(
    places: Places, measured: dict[str, Decision | Exception]
) -> None:
    measured["tiny"] = made(tiny(places))
    status, text = told(places)
    assert status == 0
    assert "runtime   precision  differs by  same best  ms at 1  ms at 8  size     verdict" in text
    assert "openvino  float32    1.4e-05     -          1        4        0.0 MiB  kept" in text
    assert "✓ tiny: openvino, 2 times as fast as eager, differs by 1.4e-05" in text


def test_optimise_is_for_programs_too(
    places: Places, measured: dict[str, Decision | Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    measured["tiny"] = made(tiny(places))
    assert optimise.optimise_all(places, (), 60, True, Console(file=io.StringIO())) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["model"] == "tiny"
    assert row["decision"]["chosen"]["runtime"] == "openvino"


@pytest.mark.parametrize(
    ("asked", "chosen", "status"),
    [
        ({"runtime": "openvino"}, VINO, 0),
        ({"runtime": "openvino"}, EAGER, 1),
        ({"precision": "bfloat16"}, VINO, 1),
        ({}, EAGER, 0),
    ],
)
def test_the_exit_status_tells_whether_what_the_recipe_asks_for_passed(
    places: Places,
    measured: dict[str, Decision | Exception],
    asked: dict[str, object],
    chosen: Candidate,
    status: int,
) -> None:
    entry = tiny(places, **asked)
    measured["tiny"] = made(entry, chosen)
    found, text = told(places)
    assert found == status
    assert ("didn't pass, so" in text) == bool(status)


def test_one_model_that_cant_be_measured_leaves_the_others(
    places: Places, measured: dict[str, Decision | Exception]
) -> None:
    measured["tiny"] = made(tiny(places))
    tiny(places, "few")
    tiny(places, "full")
    tiny(places, "plain", runtime="eager")
    measured["few"] = CommandError("int8 has 3 inputs")
    measured["full"] = OSError(28, "No space left on device")
    status, text = told(places)
    assert status == 1
    assert "✗ few: int8 has 3 inputs" in text
    assert "(No space left on device); make it writable" in text
    assert "✓ tiny: openvino" in text
    assert "✓ plain: eager, as its recipe says" in text


def begun(entry: Entry, places: Places) -> list[str]:
    with Children() as children:
        return first.decided(entry, places, children)


def test_up_decides_what_isnt_decided_before_it_packs(
    places: Places, tmp_path: Path, measured: dict[str, Decision | Exception]
) -> None:
    entry = tiny(places)
    measured["tiny"] = made(entry)
    assert begun(entry, places) == ["openvino, 2 times as fast as eager, differs by 1.4e-05"]
    measured["tiny"] = AssertionError("nothing is to be measured")
    put(entry, places, tmp_path, made(entry))
    assert begun(entry, places) == []
    assert begun(tiny(places, "plain", runtime="eager"), places) == []
    places.store.mkdir()
    shutil.rmtree(entry.folder / "optimised")
    mar.path_of(entry, places).touch()  # packed already: it stays as it is
    assert begun(entry, places) == []


@pytest.mark.parametrize(
    "error", [CommandError("tiny can't be measured"), PermissionError(13, "Permission denied")]
)
def test_up_serves_by_eager_what_it_cant_measure_and_says_so(
    places: Places, measured: dict[str, Decision | Exception], error: Exception
) -> None:
    measured["tiny"] = error
    (note,) = begun(tiny(places), places)
    assert note.startswith("NOTE: its runtimes weren't measured (")
    assert str(getattr(error, "strerror", None) or error) in note


def test_up_says_what_there_was_no_time_for(
    places: Places, measured: dict[str, Decision | Exception]
) -> None:
    entry = tiny(places)
    found = made(entry)
    late = Tried(Candidate("torchscript"), "not tried", "the time was up")
    measured["tiny"] = replace(found, tried=(*found.tried, late))
    assert "NOTE: no time for torchscript: scripts/pthserve optimise tiny" in begun(entry, places)


def test_without_optimise_up_measures_nothing(
    places: Places, measured: dict[str, Decision | Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = tiny(places)
    measured["tiny"] = made(entry)
    monkeypatch.setattr(startup, "archive", lambda *_: archive.Outcome(places.store / "a.mar", ["packed"]))
    with Children() as children:
        for wish, notes in ((False, ["packed"]), (True, [table.summary(made(entry)), "packed"])):
            ((_, outcome),) = startup.pack([entry], places, children, print, optimise=wish)
            assert isinstance(outcome, archive.Outcome)
            assert outcome.notes == notes


CRASHES = """\
import os
slow = torch.eye(700)
for _ in range(6):
    slow = slow @ slow
if torch.jit.is_tracing():
    os.kill(os.getpid(), 11)
return x * self.scale * slow[0, 0]
"""


@pytest.mark.exhaustive
def test_a_real_run_survives_a_candidate_that_crashes(places: Places) -> None:
    tiny_models.write(places.models / "tiny", CRASHES, runtime="auto")
    entry = catalog.find(places, "tiny")
    with Children() as children:
        found = measurement.measure(entry, places, children, 300)
    rows = {str(row.candidate): row for row in found.tried}
    assert rows["torchscript"].verdict == "failed"
    assert "SIGSEGV" in rows["torchscript"].why
    assert rows["eager"].ms_full is not None
    assert rows["onnxruntime"].verdict in ("kept", "slower", "tie")
    assert "openvino" in rows
    assert standing.standing(entry) == "current"
    assert {path.suffix for path in (entry.folder / "optimised").rglob("*")} & {".json"}
    assert (
        runtimes.opened(entry.recipe.handler, entry.folder, torch.device("cpu"), 1).candidate == found.chosen
    )
