"""optimising: what is tried, on what it is proven, and which is kept."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from msgspec import convert
from PIL import Image

from handlers import runtimes
from handlers.errors import BadRecipe
from handlers.handler import Handler
from handlers.network import open_network
from handlers.recipe import Model
from handlers.runtimes import Material, Setting
from handlers.runtimes.decision import EAGER, Candidate, Decision, Tried
from handlers.runtimes.setting import CantBuild, Runtime
from scripts.optimising import choosing, ground, timing, trials
from scripts.optimising.candidates import candidates
from scripts.optimising.drawing import drawn
from scripts.optimising.seen import Decided, Refused, Seen
from tests import tiny_models

CPU = torch.device("cpu")
LAST = Candidate("eager", options=("channels_last",))
SCRIPT, ONNX, VINO = (Candidate(name) for name in ("torchscript", "onnxruntime", "openvino"))  # type: ignore[arg-type]


def model(**changes: object) -> Model:
    given = {"name": "m", "version": "1", "task": "tensor", "weights": "w.pth"}
    return convert({**given, "input": {"kind": "tensor", "shape": [2]}, **changes}, Model)


def named(found: list[Candidate]) -> list[str]:
    return [str(one) for one in found]


def test_auto_tries_what_needs_no_compiler_the_reference_first() -> None:
    assert named(candidates(model(), CPU, 2)) == ["eager", "openvino", "onnxruntime", "torchscript"]
    assert "eager channels_last" in named(candidates(model(), CPU, 4))


def test_a_named_runtime_is_tried_alone_beside_the_reference() -> None:
    assert named(candidates(model(runtime="compile"), CPU, 4)) == ["eager", "compile"]


def test_a_lower_precision_is_tried_beside_float32_only_where_it_is_asked_for() -> None:
    found = named(candidates(model(precision="bfloat16"), CPU, 4))
    assert {"eager bfloat16", "eager channels_last bfloat16", "openvino bfloat16", "onnxruntime"} <= set(
        found
    )
    assert "openvino int8" in named(candidates(model(precision="int8"), CPU, 4))
    assert named(candidates(model(precision="int8", runtime="onnxruntime"), CPU, 2)) == [
        "eager",
        "onnxruntime",
        "onnxruntime int8",
    ]


def test_on_a_gpu_eager_is_tried_with_recorded_graphs_and_nothing_that_is_the_cpus() -> None:
    found = named(candidates(model(), torch.device("cuda", 0), 4))
    assert found == [
        *("eager", "eager channels_last", "eager cuda_graphs", "eager channels_last cuda_graphs"),
        "torchscript",
    ]


def row(candidate: Candidate, ms: float, full: float | None = None) -> Tried:
    return Tried(candidate, "kept", error=0.0, ms_one=ms, ms_full=ms if full is None else full)


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        ([row(EAGER, 10), row(VINO, 5)], VINO),
        ([row(EAGER, 10), row(VINO, 9.2)], EAGER),  # less than a tenth
        ([row(EAGER, 0.10), row(VINO, 0.06)], EAGER),  # less than a request notices
        ([row(EAGER, 10), row(ONNX, 5.3), row(VINO, 5)], ONNX),
        ([row(EAGER, 10), row(LAST, 5), row(VINO, 5)], LAST),
        ([row(EAGER, 10, 10), row(VINO, 5, 20)], EAGER),  # one batch for the other is no win
        ([row(EAGER, 10), row(Candidate("eager", "bfloat16"), 5), row(VINO, 5)], VINO),
    ],
)
def test_the_fastest_is_kept_unless_a_simpler_one_is_about_as_fast(
    rows: list[Tried], kept: Candidate
) -> None:
    assert choosing.chosen(rows, model()) == kept


def test_a_runtime_that_the_recipe_names_is_kept_however_slow() -> None:
    rows = [row(EAGER, 1), row(VINO, 10)]
    assert choosing.chosen(rows, model(runtime="openvino")) == VINO
    assert choosing.chosen(rows[:1], model(runtime="openvino")) == EAGER


def test_each_row_says_why_it_isnt_kept() -> None:
    rows = [row(EAGER, 10), row(SCRIPT, 10.5), row(ONNX, 5), row(VINO, 4.9)]
    told = choosing.judged(rows, choosing.chosen(rows, model()), model())
    assert [one.verdict for one in told] == ["slower", "slower", "kept", "tie"]
    assert told[0].why == "2 times the time of openvino"
    assert told[2].why == "2 times as fast as eager"
    assert told[3].why == "onnxruntime is simpler, and about as fast"


class Stopwatch:
    """Stands in for the module `time`: calls take as long as they say."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    perf_counter = monotonic

    def taking(self, seconds: Iterator[float]) -> Callable[[torch.Tensor], None]:
        def run(_: torch.Tensor) -> None:
            self.now += next(seconds)

        return run


def test_candidates_are_timed_by_turns_and_a_busy_moment_doesnt_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watch = Stopwatch()
    monkeypatch.setattr(timing, "time", watch)
    hiccups = itertools.cycle([0.004] * 6 + [0.5])
    clock = timing.Clock(
        [watch.taking(hiccups), watch.taking(itertools.repeat(0.003))], [torch.zeros(1), torch.zeros(8)]
    )
    turns = list(clock.measure(watch.now + 60))
    assert clock.medians() == [[pytest.approx(4), pytest.approx(4)], [pytest.approx(3), pytest.approx(3)]]
    assert turns == [0, 1] * (len(turns) // 2)


def test_when_time_runs_out_each_has_been_timed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Stopwatch()
    monkeypatch.setattr(timing, "time", watch)
    clock = timing.Clock([watch.taking(itertools.repeat(2.0))] * 2, [torch.zeros(1), torch.zeros(8)])
    assert len(list(clock.measure(watch.now + 1))) == 4
    assert clock.medians() == [[2000, 2000], [2000, 2000]]


def opened(folder: Path) -> Handler:
    return Handler.open(folder, reference=True)


def test_random_numbers_lie_within_the_recipes_bounds(tmp_path: Path) -> None:
    declared = {"kind": "tensor", "shape": [50], "minimum": -1, "maximum": 3}
    found = drawn(opened(tiny_models.write(tmp_path, "return x", input=declared)), [], 4)
    assert len(found) == 4
    assert all(-1 <= float(one.min()) < 0 and 2 < float(one.max()) <= 3 for one in found)
    assert not torch.equal(found[0], found[1])


def test_indices_without_a_maximum_are_those_of_the_samples_place_by_place(tmp_path: Path) -> None:
    declared = {"kind": "tensor", "shape": [2], "dtype": "int64"}
    folder = tiny_models.write(tmp_path, "return x", input=declared)
    samples = [[3, 700], [4, 800]]
    found = drawn(opened(folder), [wire_numbers(values) for values in samples], 16)
    assert {int(one[0]) for one in found} == {3, 4}
    assert {int(one[1]) for one in found} == {700, 800}
    assert {one.dtype for one in found} == {torch.int64}


def wire_numbers(values: list[int]) -> Any:
    from handlers.wire import Numbers

    return Numbers(np.array(values))


def picture(height: int, width: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(stream, "PNG")
    return stream.getvalue()


def test_pictures_come_by_the_recipes_own_normalisation(tmp_path: Path) -> None:
    declared = {"kind": "image", "crop": 24, "mean": [0.5] * 3, "std": [0.25] * 3}
    found = drawn(opened(tiny_models.write(tmp_path, "return x", input=declared)), [], 4)
    assert {tuple(one.shape) for one in found} == {(3, 24, 24)}
    assert all(-2 <= float(one.min()) < 0 < float(one.max()) <= 2 for one in found)


def test_where_any_size_is_taken_another_one_is_tried_too(tmp_path: Path) -> None:
    from handlers.wire import EncodedImage

    folder = tiny_models.write(tmp_path, "return x", input={"kind": "image", "any_size": True})
    found = drawn(opened(folder), [EncodedImage(picture(40, 50))], 4)
    assert {tuple(one.shape) for one in found} == {(3, 40, 50), (3, 72, 114)}


def test_what_the_network_refuses_or_cant_answer_is_no_proof(tmp_path: Path) -> None:
    forward = "if (x < 0).any(): raise ValueError('negative')\nreturn torch.log(x - 0.5)"
    bounds = {"kind": "tensor", "shape": [2], "minimum": -1, "maximum": 3}
    found = ground.open_ground(tiny_models.write(tmp_path, forward, input=bounds), CPU)
    assert 0 < len(found.cases) < ground.MANY
    assert all(float(case.input.min()) > 0.5 for case in found.cases)


def test_a_model_that_answers_nothing_cant_be_measured(tmp_path: Path) -> None:
    folder = tiny_models.write(tmp_path, "raise ValueError('odd')")
    assert "give it a sample" in refused(folder)


def calibrated(tmp_path: Path, count: int, **handler: object) -> Path:
    folder = tiny_models.write(
        tmp_path, "return x", precision="int8", **{"calibration": "calibration", **handler}
    )
    (folder / "calibration").mkdir()
    (folder / "calibration" / "some.json").write_text(
        json.dumps([[0.5, index] for index in range(count - 1)])
    )
    np.save(folder / "calibration" / "one.npy", np.zeros(2, np.float32))
    return folder


def test_int8_calibrates_on_a_folder_of_inputs_in_any_form(tmp_path: Path) -> None:
    found = ground.open_ground(calibrated(tmp_path, 32), CPU)
    assert len(found.calibrating) == 32
    assert len(found.counted) == 32


def test_int8_is_refused_with_fewer_than_32_inputs_unless_random_is_written_out(tmp_path: Path) -> None:
    told = refused(calibrated(tmp_path / "few", 31))
    assert "int8 has 31 inputs to calibrate on" in told
    assert "needs 32" in told
    found = ground.open_ground(calibrated(tmp_path / "random", 2, calibration="random"), CPU)
    assert len(found.calibrating) == ground.CALIBRATING


def test_a_calibration_input_that_cant_be_read_is_named(tmp_path: Path) -> None:
    folder = calibrated(tmp_path, 40)
    (folder / "calibration" / "odd.json").write_text("[1, 2, 3]")
    assert "odd.json" in refused(folder)
    with pytest.raises(BadRecipe, match=r"handler\.calibration is 'gone'"):
        ground.open_ground(calibrated(tmp_path / "gone", 3, calibration="gone"), CPU)


def refused(folder: Path) -> str:
    (told,) = (one for one in walked(folder) if isinstance(one, Refused))
    return f"{told.message}; {told.hint}"


def walked(folder: Path, out: tuple[Tried, ...] = (), seconds: float = 60) -> list[Seen]:
    return list(trials.Trials(folder, folder / "built", seconds, out).walk())


class Fake:
    """A runtime of few lines: eager, and `change` applied to what it answers."""

    LIBRARIES = ("torch",)

    def __init__(self, change: Callable[[torch.Tensor], torch.Tensor] = lambda x: x, fails: str = "") -> None:
        self._change = change
        self._fails = fails
        self.built = 0

    def build(self, material: Material, setting: Setting, folder: Path) -> None:
        self.built += 1
        if self._fails:
            raise CantBuild(self._fails)
        (folder / "network.bin").write_bytes(b"1234")

    def open_runtime(self, model: Model, folder: Path, setting: Setting, artifacts: Path) -> Runtime:
        assert (artifacts / "network.bin").is_file()
        network = open_network(model, folder, CPU)
        return lambda batch: self._change(network(batch)).to(torch.float32)


Fakes = Callable[..., None]


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Fakes:
    """The runtimes but eager are these, and each call of theirs takes as many ms as `took` says."""

    def install(took: dict[str, float] | None = None, **modules: Fake) -> None:
        real = runtimes.named

        def found(name: str) -> object:
            return real("eager") if name == "eager" else modules.get(name, Fake(fails="not here"))

        monkeypatch.setattr(runtimes, "named", found)
        monkeypatch.setattr(trials, "LITTLE", 0.0)
        monkeypatch.setattr(trials, "Clock", told_clock(took or {}))

    return install


def told_clock(took: dict[str, float]) -> type:
    class Told(timing.Clock):
        def __init__(self, runs: Any, batches: Any) -> None:
            super().__init__(runs, batches)
            self._names = [str(run.__self__.opened.candidate) for run in runs]

        def measure(self, deadline: float, seconds: float = 0.0) -> Iterator[int]:
            yield from range(len(self._names))

        def medians(self) -> list[list[float]]:
            return [[took.get(name, 10.0)] * 2 for name in self._names]

    return Told


SAMPLES = [{"input": "a.json", "expect": "a.npy"}, {"input": "b.json", "expect": "0"}]


def classifier(folder: Path, forward: str = "return x * self.scale", **handler: object) -> Path:
    tiny_models.write(
        folder, forward, **{"task": "classify", "samples": SAMPLES, "runtime": "auto", **handler}
    )
    (folder / "a.json").write_text("[1, 3]")
    (folder / "b.json").write_text("[2, 0]")
    np.save(folder / "a.npy", np.array([1.0, 3.0], np.float32))
    return folder


def decided(folder: Path, **more: Any) -> Decision:
    last = walked(folder, **more)[-1]
    assert isinstance(last, Decided)
    return last.decision


def verdicts(decision: Decision) -> dict[str, tuple[str, str]]:
    return {str(one.candidate): (one.verdict, one.why) for one in decision.tried}


def test_a_runtime_that_answers_wrongly_is_rejected_however_fast(tmp_path: Path, fakes: Fakes) -> None:
    fakes({"openvino": 1.0, "onnxruntime": 5.0}, openvino=Fake(lambda x: x + 0.01), onnxruntime=Fake())
    found = decided(classifier(tmp_path))
    assert found.chosen == ONNX
    verdict, why = verdicts(found)["openvino"]
    assert verdict == "differs"
    assert why.startswith("sample a.json (alone): expected")
    assert list(found.files) == ["onnxruntime-float32/network.bin"]
    assert verdicts(found)["torchscript"] == ("failed", "not here")
    assert verdicts(found)["onnxruntime"] == ("kept", "2 times as fast as eager")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x: x + (0.01 if len(x) > 1 else 0),  # in company
        lambda x: x + (x > 2.9) * 0.01,
        lambda x: torch.where(x < 0, torch.nan, x),  # which no sample is
        lambda x: x[:, :1],
        lambda x: x.roll(1, 0) if len(x) > 1 else x,
    ],
)
def test_whatever_differs_is_found(
    wrong: Callable[[torch.Tensor], torch.Tensor], tmp_path: Path, fakes: Fakes
) -> None:
    fakes({"openvino": 1.0}, openvino=Fake(wrong))
    found = decided(classifier(tmp_path))
    assert found.chosen == EAGER
    assert verdicts(found)["openvino"][0] == "differs"


def test_another_best_class_within_the_tolerance_is_rejected_but_for_ties(
    tmp_path: Path, fakes: Fakes
) -> None:
    # all outputs within 1e-4 + 1e-3 * 100 of eager's, and the order of the two turned round
    fakes({"openvino": 1.0}, openvino=Fake(lambda x: x.flip(1)))
    apart = classifier(tmp_path / "a", "return 100 + x.sign() * 0.055 * torch.tensor([1, -1])", samples=[])
    assert verdicts(decided(apart))["openvino"][0] == "differs"
    level = classifier(tmp_path / "b", "return 100 + x.sign() * 0.02 * torch.tensor([1, -1])", samples=[])
    assert decided(level).chosen == VINO


def test_a_slower_runtime_isnt_kept_and_a_tie_goes_to_the_simpler(tmp_path: Path, fakes: Fakes) -> None:
    fakes({"openvino": 30.0, "onnxruntime": 9.5}, openvino=Fake(), onnxruntime=Fake())
    found = decided(classifier(tmp_path))
    assert found.chosen == EAGER
    assert verdicts(found)["openvino"][0] == "slower"
    assert verdicts(found)["onnxruntime"][0] == "tie"
    assert not found.files


def test_a_lower_precision_passes_by_scores_and_tells_how_often_it_agrees(
    tmp_path: Path, fakes: Fakes
) -> None:
    coarse = Fake(lambda x: x * 1.05)
    fakes({"openvino bfloat16": 1.0}, openvino=coarse)
    folder = classifier(tmp_path / "a", precision="bfloat16")
    found = decided(folder)
    assert found.chosen == Candidate("openvino", "bfloat16")
    kept = next(one for one in found.tried if one.candidate == found.chosen)
    assert kept.agreement == 1.0
    assert kept.error is not None
    assert kept.error > 0.1
    assert verdicts(found)["openvino"][0] == "differs"
    tight = classifier(tmp_path / "b", precision="bfloat16", tolerance={"absolute": 1e-4, "relative": 0})
    assert verdicts(decided(tight))["openvino bfloat16"][0] == "differs"


def test_a_lower_precision_without_samples_is_never_kept(tmp_path: Path, fakes: Fakes) -> None:
    fakes({"openvino bfloat16": 1.0}, openvino=Fake(lambda x: x * 1.001))
    found = decided(classifier(tmp_path, precision="bfloat16", samples=[]))
    assert verdicts(found)["openvino bfloat16"] == ("differs", "no sample proves bfloat16")


def test_a_sample_without_an_answer_yet_is_held_to_eagers(tmp_path: Path, fakes: Fakes) -> None:
    fakes({"openvino": 1.0, "onnxruntime": 2.0}, openvino=Fake(lambda x: x + 0.01), onnxruntime=Fake())
    folder = classifier(tmp_path, samples=[{"input": "a.json"}])
    found = decided(folder)
    assert found.chosen == ONNX
    assert not (folder / "a.json.recorded.npy").exists()


def test_the_tightest_tolerance_of_the_samples_holds_for_every_input(tmp_path: Path, fakes: Fakes) -> None:
    fakes({"openvino": 1.0}, openvino=Fake(lambda x: x + 5e-5))
    assert decided(classifier(tmp_path / "a")).chosen == VINO
    tight = [{**SAMPLES[0], "tolerance": {"absolute": 1e-5, "relative": 0}}]
    assert decided(classifier(tmp_path / "b", samples=tight)).chosen == EAGER


def test_what_eager_does_in_no_time_is_not_tried(
    tmp_path: Path, fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = Fake()
    fakes(openvino=fast)
    monkeypatch.setattr(trials, "LITTLE", 1e6)
    found = decided(classifier(tmp_path / "a"))
    assert found.chosen == EAGER
    assert fast.built == 0
    assert verdicts(found)["openvino"][0] == "not tried"
    assert decided(classifier(tmp_path / "b", runtime="openvino")).chosen == VINO


def test_what_there_is_no_time_for_is_not_tried(tmp_path: Path, fakes: Fakes) -> None:
    fakes(openvino=Fake())
    found = decided(classifier(tmp_path), seconds=0.0)
    assert found.chosen == EAGER
    assert verdicts(found)["openvino"] == ("not tried", "the time was up")


def test_what_ended_an_interpreter_before_isnt_tried_again_nor_built_twice(
    tmp_path: Path, fakes: Fakes
) -> None:
    onnx = Fake()
    fakes({"onnxruntime": 1.0}, openvino=Fake(), onnxruntime=onnx)
    folder = classifier(tmp_path)
    out = Tried(VINO, "failed", "the interpreter was ended by SIGSEGV")
    assert decided(folder).chosen == ONNX
    found = decided(folder, out=(out,))
    assert out in found.tried
    assert found.chosen == ONNX
    assert onnx.built == 1


def test_anything_that_a_runtime_raises_is_one_line_of_the_table(
    tmp_path: Path, fakes: Fakes, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no such\nkernel")

    fakes(openvino=Fake(broken))
    found = decided(classifier(tmp_path, samples=[]))
    assert verdicts(found)["openvino"] == ("failed", "RuntimeError: no such")
    assert "Traceback" in capsys.readouterr().err


def test_a_decision_tells_what_it_depends_on(tmp_path: Path, fakes: Fakes) -> None:
    fakes({"openvino": 1.0}, openvino=Fake())
    folder = classifier(tmp_path, threads=3)
    found = decided(folder)
    assert found.threads == 3
    assert found.batch == 8
    assert found.libraries == {"torch": metadata.version("torch")}
    handler = opened(folder).recipe.handler
    assert found.inputs == runtimes.decision.inputs(handler, folder)
    assert found.processor == runtimes.processor.kind(CPU)
    assert found.files == {"openvino-float32/network.bin": hashlib.sha256(b"1234").hexdigest()}
