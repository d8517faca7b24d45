"""The search on endpoints whose speed is known: what it tries, which it keeps, and the recipe's new lines."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from handlers import recipe
from handlers.cores import cores
from handlers.recipe import RuntimeName
from handlers.runtimes.decision import Candidate, Decision, Tried
from scripts.benchmarking.figures import Round, Row
from scripts.errors import CommandError
from scripts.places import ROOT
from scripts.tuning import editing, frontier, goal, report, score, search, stages
from scripts.tuning.goal import Goal
from scripts.tuning.score import Measured
from scripts.tuning.search import Found, Search
from scripts.tuning.setting import Setting, applied, of
from scripts.tuning.stages import Stage
from tests.fakes import Clock, stop_time

START = Setting(1, 2, 8, 1, "auto")
PATH = Path("recipe.yaml")

# The goal


@pytest.mark.parametrize(
    ("text", "limit"), [(None, None), ("50ms", 50.0), ("0.05s", 50.0), (" 2 s ", 2000.0), (".5ms", 0.5)]
)
def test_a_latency_is_a_time_with_its_unit(text: str | None, limit: float | None) -> None:
    assert goal.of(text).limit == limit


@pytest.mark.parametrize("text", ["50", "ms", "", "-5ms", "0ms", "0s", "5m", "1e3ms", "nan s", "50ms 60ms"])
def test_anything_else_is_told_with_the_remedy(text: str) -> None:
    with pytest.raises(
        CommandError, match=re.escape(f"--latency is {text!r}; give a time above 0 with its unit")
    ):
        goal.of(text)


# The recipe's lines

TEXT = """\
# a comment
minWorkers: 1               # two halves
maxWorkers: 1
batchSize: 8   # of items
maxBatchDelay: 1            # ms
handler:
  # what it is
  name: tiny
  version: "1.0"
  task: tensor
  weights: weights.pth
  runtime: openvino         # measured in May
  input: {kind: tensor, shape: [2]}
"""


def changed(text: str, **parts: object) -> str:
    setting = of(recipe.parse(text, PATH))
    return editing.edited(text, PATH, replace(setting, **parts))


def lines(text: str, **parts: object) -> list[str]:
    """The lines of the diff that are new or gone."""
    found = editing.diff(text, changed(text, **parts), PATH).splitlines()[2:]
    return [line for line in found if line[0] in "+-"]


def test_the_recipes_own_setting_changes_nothing() -> None:
    assert changed(TEXT) == TEXT
    assert editing.diff(TEXT, changed(TEXT), PATH) == ""


def test_comments_stay_where_they_are() -> None:
    assert lines(TEXT, batch=16) == ["-batchSize: 8   # of items", "+batchSize: 16  # of items"]
    assert lines(TEXT, runtime="eager") == [
        "-  runtime: openvino         # measured in May",
        "+  runtime: eager            # measured in May",
    ]


def test_threads_are_written_only_where_they_do_not_follow_from_the_workers() -> None:
    workers = cores() + 1
    follows = lines(TEXT, workers=workers, threads=1)
    assert follows == [
        "-minWorkers: 1               # two halves",
        "-maxWorkers: 1",
        f"+minWorkers: {workers:<15} # two halves",
        f"+maxWorkers: {workers}",
    ]
    assert lines(TEXT, threads=cores() + 3) == [f"+  threads: {cores() + 3}"]
    fixed = TEXT.replace("  task: tensor\n", "  task: tensor\n  threads: 7\n")
    assert lines(fixed, threads=cores()) == ["-  threads: 7"]
    assert lines(fixed, threads=9) == ["-  threads: 7", "+  threads: 9"]


def test_keys_that_are_absent_are_added() -> None:
    short = 'handler:\n    name: tiny\n    version: "1.0"\n    task: tensor\n    weights: w.pth\n'
    text = short + "    input: {kind: tensor, shape: [2]}\n"
    assert lines(text, batch=4, delay=5, runtime="eager", workers=2, threads=max(1, cores() // 2)) == [
        "+minWorkers: 2",
        "+maxWorkers: 2",
        "+batchSize: 4",
        "+maxBatchDelay: 5",
        "+    runtime: eager",
    ]


@pytest.mark.parametrize("name", sorted(path.parent.name for path in (ROOT / "models").glob("*/recipe.yaml")))
@hypothesis.settings(max_examples=20, deadline=None)
@hypothesis.given(
    workers=st.integers(1, 9),
    threads=st.integers(1, 9),
    batch=st.integers(1, 1024),
    delay=st.integers(1, 100),
    runtime=st.sampled_from(["auto", "eager", "openvino"]),
)
def test_the_new_text_reads_back_as_the_setting(
    name: str, workers: int, threads: int, batch: int, delay: int, runtime: str
) -> None:
    path = ROOT / "models" / name / "recipe.yaml"
    text = path.read_text(encoding="utf-8")
    setting = Setting(workers, threads, batch, delay, runtime)
    after = editing.edited(text, path, setting, "other")
    found = recipe.parse(after, path)
    assert of(found) == setting
    assert found.handler.name == "other"
    comments = [line.partition("#")[2] for line in text.splitlines()]
    assert [line for line in comments if line not in after] == []
    before = recipe.parse(text, path)
    assert applied(before, setting).handler.weights == found.handler.weights


@pytest.mark.parametrize(
    "text",
    [
        "handler: {name: tiny, version: '1', task: tensor, weights: w, input: {kind: tensor, shape: [2]}}\n",
        TEXT.replace("batchSize: 8", '"batchSize": 8'),
        TEXT.replace("batchSize: 8   # of items", "batchSize:\n  8"),
    ],
    ids=["one line", "quoted key", "value below"],
)
def test_a_recipe_of_unusual_lines_is_left_to_its_owner(text: str) -> None:
    with pytest.raises(CommandError, match="isn't written with a key a line") as refused:
        editing.require_editable(text, PATH)
    assert "batchSize: " in refused.value.hint


def test_a_usual_one_can_be_changed() -> None:
    editing.require_editable(TEXT, PATH)


# Which settings are tried


def decided(chosen: RuntimeName, ms: Mapping[RuntimeName, float]) -> Decision:
    rows = [Tried(Candidate("compile"), "failed", "no compiler")]
    rows += [Tried(Candidate(name), "kept" if name == chosen else "slower", ms_full=ms[name]) for name in ms]
    return Decision(Candidate(chosen), "", "", {}, 2, 8, tuple(rows))


def test_runtimes_that_come_near_the_fastest_are_tried() -> None:
    found = decided("openvino", {"eager": 30, "onnxruntime": 12, "openvino": 10, "torchscript": 14})
    assert [one.runtime for one in stages.runtimes(START, found)] == ["onnxruntime", "torchscript"]
    assert [one.runtime for one in stages.runtimes(replace(START, runtime="onnxruntime"), found)] == [
        "openvino",
        "torchscript",
    ]
    assert stages.runtimes(START, None) == []


@pytest.mark.parametrize(
    ("machine", "pairs"),
    [(1, []), (2, [(2, 1), (1, 1)]), (6, [(1, 6), (2, 3), (4, 1), (6, 1), (3, 1)])],
)
def test_workers_and_threads_fill_the_cores(machine: int, pairs: list[tuple[int, int]]) -> None:
    start = replace(START, threads=1 if machine == 1 else 2)
    found = stages.filling(start, machine)
    assert [(one.workers, one.threads) for one in found] == pairs
    assert all(one.workers * one.threads <= machine for one in found)


def test_batches_are_varied_around_the_present_one() -> None:
    found = stages.batches(START)
    assert START not in found
    assert {(one.batch, one.delay) for one in found} == {(4, 1), (16, 1), (32, 1), (8, 5), (16, 5), (32, 5)}
    assert max(one.batch for one in stages.batches(replace(START, batch=64))) == 64


def test_a_gpu_needs_no_threads() -> None:
    offered = {stage.title: stage.offer(START) for stage in stages.stages(None, 8, gpu=True)}
    assert offered["workers and threads"] == []


# Which is kept

Speed = Callable[[Setting, int], tuple[float, float]]


class Trials:
    """Endpoints whose items/s and p99 a function tells; their clients take the time that they should."""

    def __init__(self, clock: Clock, speed: Speed, *, at_once: int = 7, dead: Sequence[Setting] = ()) -> None:
        self.at_once = at_once
        self.loads: list[tuple[Setting, int, float]] = []
        self.served: list[list[Setting]] = []
        self.settings: list[Setting] = []
        self.problems: Mapping[Setting, str] = {}
        self.seconds = 20.0
        self._clock, self._speed, self._dead = clock, speed, dead

    @contextmanager
    def serving(self, settings: Sequence[Setting]) -> Iterator[Trials]:
        self.served.append(list(settings))
        self.settings = [one for one in settings if one not in self._dead]
        self.problems = {one: "it died" for one in settings if one in self._dead}
        self._clock.now += self.seconds
        yield self
        self.settings = []

    def load(self, setting: Setting, connections: int, seconds: float) -> Round:
        assert setting in self.settings
        self.loads.append((setting, connections, seconds))
        self._clock.now += seconds + 1.5
        rate, p99 = self._speed(setting, connections)
        errors = {"503": 1} if rate < 0 else {}
        return Round(1.0, int(abs(rate)), p99 / 2, p99, p99, errors)


class Nobody:
    """Who counts what is planned, and what is done."""

    def __init__(self) -> None:
        self.planned = 0
        self.done = 0

    def plan(self, loads: int) -> None:
        self.planned += loads

    def tell(self, text: str) -> None:
        assert text

    def step(self) -> None:
        self.done += 1


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return stop_time(monkeypatch, search)


def found_by(
    trials: Trials, *, limit: float | None = None, minutes: float = 30.0, chosen: Decision | None = None
) -> Found:
    one = Search((1, 16), minutes, Goal(limit), Nobody())
    return one.run(trials, START, stages.stages(chosen, 2, gpu=False))


def test_the_fastest_of_each_stage_goes_on_to_the_next(clock: Clock) -> None:
    def speed(setting: Setting, connections: int) -> tuple[float, float]:
        rate = 100.0 * setting.workers * (2 if setting.runtime == "onnxruntime" else 1)
        return rate + setting.batch, 10.0

    trials = Trials(clock, speed)
    found = found_by(trials, chosen=decided("openvino", {"openvino": 10, "onnxruntime": 11}))
    assert found.best == Setting(2, 1, 32, 1, "onnxruntime")
    assert [len(settings) for settings in trials.served] == [2, 3, 7, 2]
    assert trials.served[-1] == [START, found.best]
    assert found.duel is not None
    assert [one.setting for one in found.duel] == [START, found.best]
    assert trials.served[1][0] == replace(START, runtime="onnxruntime")


def test_a_tie_leaves_the_present_setting(clock: Clock) -> None:
    found = found_by(Trials(clock, lambda setting, count: (1000 + setting.batch, 10.0)))
    assert found.best == found.start == START


def test_whoever_loses_one_round_has_not_clearly_won(clock: Clock) -> None:
    turns = iter([100.0, 300.0, 100.0, 90.0] * 50)

    def speed(setting: Setting, connections: int) -> tuple[float, float]:
        return next(turns), 10.0

    stage = Stage("one", lambda best: [replace(best, batch=16)])
    trials = Trials(clock, speed)
    found = Search((1,), 30.0, Goal(), Nobody()).run(trials, START, [stage])
    assert found.best == START
    assert [setting.batch for setting, _, _ in trials.loads] == [8, 16, 8, 16]


def test_the_best_has_to_win_once_more_beside_the_present_setting(clock: Clock) -> None:
    lucky = replace(START, batch=16)
    rates = {START: iter([100.0] * 9), lucky: iter([200.0] * 2 + [100.0] * 9)}
    stage = Stage("one", lambda best: [lucky])
    trials = Trials(clock, lambda setting, count: (next(rates[setting]), 10.0))
    found = Search((1,), 30.0, Goal(), Nobody()).run(trials, START, [stage])
    assert found.best == START
    assert found.duel is None
    assert found.notes == [f"{lucky}: looked faster, and wasn't beside the present setting again"]
    assert trials.served == [[START, lucky], [START, lucky]]


def test_the_rest_is_asked_again_for_longer_by_halves(clock: Clock) -> None:
    trials = Trials(clock, lambda setting, count: (100.0 + setting.batch + setting.delay, 10.0))
    stage = Stage("batches", stages.batches)
    watch = Nobody()
    Search((1, 16), 30.0, Goal(), watch).run(trials, START, [stage])
    seconds = sorted({each for _, _, each in trials.loads})
    assert seconds == [4.0, 8.0]
    again = {setting for setting, _, each in trials.loads if each == 8.0}
    assert again == {
        START,
        Setting(1, 2, 32, 5, "auto"),
        Setting(1, 2, 32, 1, "auto"),
        Setting(1, 2, 16, 5, "auto"),
    }
    assert watch.planned == watch.done == len(trials.loads) == 2 * 2 * (7 + 4 + 2)


def test_a_latency_is_kept_before_items_per_second_count(clock: Clock) -> None:
    def speed(setting: Setting, connections: int) -> tuple[float, float]:
        return 10.0 * setting.batch * connections, 2.0 * setting.batch + connections

    found = found_by(Trials(clock, speed), limit=50.0)
    assert found.best.batch == 16  # 48 ms at 16 connections; 32 would take 80
    assert found_by(Trials(clock, speed)).best.batch == 32
    none = found_by(Trials(clock, speed), limit=5.0)
    assert none.best.batch == 4  # the nearest
    assert not any(one.rate(Goal(5.0)) for one in none.measured)


def test_errors_are_no_speed(clock: Clock) -> None:
    found = found_by(Trials(clock, lambda setting, count: (-900.0 if setting.workers > 1 else 100.0, 10.0)))
    assert found.best == START
    assert any(row.errors for one in found.measured for row in one.rows)


def test_what_does_not_come_up_is_told_and_left_out(clock: Clock) -> None:
    dead = Setting(2, 1, 8, 1, "auto")
    found = found_by(Trials(clock, lambda setting, count: (100.0, 10.0), dead=[dead]))
    assert found.notes == [f"{dead}: not tried: it died"]
    assert dead not in [one.setting for one in found.measured]


def test_the_present_setting_has_to_come_up(clock: Clock) -> None:
    with pytest.raises(CommandError, match="auto doesn't come up: it died"):
        found_by(Trials(clock, lambda setting, count: (100.0, 10.0), dead=[START]))


@pytest.mark.parametrize("minutes", [0.1, 1.0, 2.0, 4.0, 15.0])
def test_the_time_is_kept(clock: Clock, minutes: float) -> None:
    trials = Trials(clock, lambda setting, count: (100.0, 10.0))
    began = clock.now
    found = found_by(trials, minutes=minutes)
    assert clock.now - began <= max(60.0, minutes * 60)
    assert START in [one.setting for one in found.measured]
    tried = sum(len(served) - 1 for served in trials.served)
    assert tried == 8 or any("lack of time" in note for note in found.notes)


def test_memory_limits_how_many_are_tried_at_once(clock: Clock) -> None:
    trials = Trials(clock, lambda setting, count: (100.0, 10.0), at_once=2)
    found_by(trials)
    assert all(len(settings) <= 2 for settings in trials.served)


# The frontier


def measured(setting: Setting, *rows: tuple[int, float, float, int]) -> Measured:
    """Rows as (connections, items/s, p99, errors)."""
    return Measured(
        setting,
        tuple(
            Row(str(setting), count, (Round(1.0, int(rate), p99, p99, p99, {"500": bad} if bad else {}),))
            for count, rate, p99, bad in rows
        ),
    )


SLOW = measured(START, (1, 10, 5.0, 0), (16, 40, 50.0, 0))
FAST = measured(replace(START, batch=16), (1, 20, 4.0, 0), (16, 90, 60.0, 0), (32, 99, 55.0, 3))


def test_the_frontier_is_what_nothing_beats_in_both() -> None:
    ahead = [(one.rate, one.p99) for one in frontier.points([SLOW, FAST]) if one.on_frontier]
    assert ahead == [(20, 4.0), (40, 50.0), (90, 60.0)]


def test_its_table_tells_which_is_present_and_which_is_proposed() -> None:
    found = Found(START, FAST.setting, [SLOW, FAST], [])
    rows = frontier.table(found, Goal())
    assert rows[0][1:3] == ("connections", "items/s")
    assert [row[1:3] + row[-1:] for row in rows[1:]] == [
        ("1", "20.0", "proposed, frontier"),
        ("1", "10.0", "present"),
        ("16", "40.0", "present, frontier"),
        ("16", "90.0", "proposed, frontier"),
    ]


@pytest.mark.parametrize(
    ("suffix", "begins"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".html", b"<!doctype")]
)
def test_the_report_is_a_file_in_the_format_of_its_name(tmp_path: Path, suffix: str, begins: bytes) -> None:
    path = tmp_path / f"report{suffix}"
    report.write(
        path, "tiny </script>", Found(START, FAST.setting, [SLOW, FAST], ["a < b"]), Goal(60.0), "-a\n+b\n"
    )
    content = path.read_bytes()
    assert content.startswith(begins)
    if suffix == ".html":
        assert b"<svg" in content
        assert b"a &lt; b" in content
        assert b"<pre>-a" in content


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(
        CommandError, match=r"--report is 'a\.pdf'; its name must end in \.html, \.png, \.svg"
    ):
        report.require_suffix(Path("a.pdf"))


def test_what_follows_from_the_workers_is_no_key_of_the_recipe() -> None:
    found = recipe.parse(TEXT, PATH)
    assert applied(found, of(found)) == found
    assert (
        applied(found, replace(of(found), workers=2, threads=max(1, cores() // 2))).handler.threads is UNSET
    )


def test_beats_needs_every_round_of_the_best_row() -> None:
    assert score.beats(FAST, SLOW, Goal())
    assert not score.beats(SLOW, FAST, Goal())
    assert not score.beats(SLOW, SLOW, Goal())
