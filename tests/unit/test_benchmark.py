"""benchmark on the command line, copies of a model with other settings, and the goals' table."""

import hashlib
import json
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from benchmarks import goal, goals, synthetic
from benchmarks.parts import Outcome
from handlers import recipe
from handlers.errors import BadRecipe
from handlers.handler import Handler
from handlers.wire import Row as Sent
from scripts import benchmark, catalog, config
from scripts.benchmark import Asked
from scripts.benchmarking import endpoint, extra, footprint, private, table, variant
from scripts.benchmarking.cold_start import ColdStart
from scripts.benchmarking.endpoint import Endpoint
from scripts.benchmarking.figures import Round, Row, Spread
from scripts.benchmarking.footprint import Footprint
from scripts.benchmarking.result import BARE, Machine, Result
from scripts.errors import CommandError
from scripts.places import Places
from scripts.processes.children import Children


def test_connections_are_numbers_with_commas() -> None:
    assert benchmark.counts("1, 8,32,8") == (1, 8, 32)


@pytest.mark.parametrize("text", ["", "1,,2", "0", "-1", "eight", "1001"])
def test_other_connections_are_refused(text: str) -> None:
    with pytest.raises(CommandError, match=r"--connections is .*; give numbers of 1 to 1000"):
        benchmark.counts(text)


def test_a_missing_extra_is_named_with_the_command_that_adds_it() -> None:
    extra.require([*extra.LOADING, *extra.BASELINES])
    with pytest.raises(CommandError, match="not_there isn't installed; run `scripts/pthserve setup bench`"):
        extra.require(["json", "not_there"])


def test_what_the_recipe_says_of_speed_is_told() -> None:
    told = benchmark.settings(catalog.find(Places(), "digits_mlp").recipe)
    assert told["workers"] == "2..2"
    assert told["batchSize"] == "32"
    assert told["runtime"] == "eager"
    assert told["backend"] == "pil"


def test_an_endpoint_elsewhere_has_no_way_past_its_gateway(tmp_path: Path) -> None:
    there = Endpoint("m", "http://127.0.0.1:1")
    with Children() as children:
        with pytest.raises(CommandError, match="leave out --direct"):
            there.contestants(tmp_path / "a", 1, children, direct=True)
        (tmp_path / "a").write_bytes(b"")
        with pytest.raises(CommandError, match=r"pthserve at .*/predictions/m doesn't answer"):
            there.contestants(tmp_path / "a", 1, children, direct=False)


def test_nothing_runs_where_no_supervisor_does(tmp_path: Path) -> None:
    assert endpoint.running(Places(state=tmp_path), "m") is None


def test_places_of_its_own_change_ports_and_folders_alone(tmp_path: Path) -> None:
    places = Places()
    own = private.places_in(tmp_path / "own", places)
    before, after = config.load(places.config), config.load(own.config)
    assert own.models == places.models
    assert {own.store.parent, own.state.parent} == {tmp_path / "own"}
    ports = [one.port for one in [*after.addresses(), *after.gateway_addresses()]]
    assert len(set(ports)) == 7
    assert all(one.host == "127.0.0.1" for one in [*after.addresses(), *after.gateway_addresses()])
    changed = {key for key in before.properties if before.properties[key] != after.properties[key]}
    assert all(key.endswith(("_address", "_port")) for key in changed - {"gateway_wait"})
    assert after.gateway_wait == 0
    assert config.load(private.places_in(tmp_path / "b", places, patient=False).config).gateway_wait > 0
    assert before.properties.keys() == after.properties.keys()


def test_a_variant_has_other_settings_and_the_model_stays_as_it_was(tmp_path: Path) -> None:
    entry = catalog.find(Places(), "digits_mlp")
    before = hashlib.sha256((entry.folder / "recipe.yaml").read_bytes()).digest()
    made = variant.make(entry, tmp_path, {"minWorkers": 1, "handler": {"runtime": "eager"}})
    assert made.recipe.min_workers == 1
    assert made.recipe.handler.runtime == "eager"
    assert made.recipe.handler.samples == entry.recipe.handler.samples
    assert made.weights.read_bytes() == entry.weights.read_bytes()
    assert hashlib.sha256((entry.folder / "recipe.yaml").read_bytes()).digest() == before


def test_a_variant_that_no_recipe_can_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRecipe, match="batchSize"):
        variant.make(catalog.find(Places(), "digits_mlp"), tmp_path, {"batchSize": "eight"})


def test_a_variant_without_its_decision_leaves_artifacts_behind(tmp_path: Path) -> None:
    entry = variant.make(catalog.find(Places(), "diabetes"), tmp_path, {}, decided=False)
    (entry.folder / "optimised").mkdir()
    (entry.folder / "optimised" / "decision.json").write_text("{}")
    kept = variant.make(entry, tmp_path / "kept", {})
    left = variant.make(entry, tmp_path / "left", {}, decided=False)
    assert (kept.folder / "optimised" / "decision.json").exists()
    assert not (left.folder / "optimised").exists()


def test_the_idle_model_answers_what_its_sample_says(tmp_path: Path) -> None:
    footprint._make_idle(tmp_path / "idle", 3)
    assert recipe.load(tmp_path / "idle").workers == 3
    (reply,) = Handler.open(tmp_path / "idle").predict([Sent({"body": bytearray(b"[1.0]")})])
    assert json.loads(reply.body)["output"] == [2.0]


def test_the_synthetic_model_answers_zeros_with_zeros(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"SIDE": 8, "LAYERS": 2}
    for name in ("RECIPE", "CODE"):
        text = getattr(synthetic, name).replace("4096", "8").replace("range(8)", "range(2)")
        monkeypatch.setattr(synthetic, name, text)
    for name, value in small.items():
        monkeypatch.setattr(synthetic, name, value)
    folder = synthetic.make(tmp_path)
    body = bytearray((folder / "samples" / "zeros.npy").read_bytes())
    (reply,) = Handler.open(folder).predict([Sent({"body": body})])
    assert json.loads(reply.body)["output"] == [0.0] * 8


def row(contestant: str, connections: int, rate: float, p50: float = 1.0, p99: float = 1.0) -> Row:
    return Row(contestant, connections, (Round(1.0, round(rate), p50, p50, p99),))


def result(*rows: Row) -> Result:
    machine = Machine("", 2, 0, "", {}, 0.0)
    names = dict.fromkeys((one.contestant for one in rows), "")
    return Result("m", "1.0", "", 1, "eager", {}, machine, names, rows, {}, {})


PICTURES = result(
    row("pthserve", 1, 20, 10.0, 15.0),
    row("pthserve", 8, 50, p99=90.0),
    row("pthserve", 32, 90),
    row(BARE, 1, 20, 9.0, 10.0),
    row(BARE, 32, 100),
    row("Flask", 8, 40, p99=100.0),
    row("Flask", 32, 40),
    row("stock handler", 32, 15),
)


def test_goals_of_pictures_are_met_or_missed_by_their_ratios() -> None:
    found = {one.what: one for one in goal.of_pictures(PICTURES, 2.2, 0.95, stock=5.0)}
    assert {what: (round(one.measured, 3), one.met) for what, one in found.items()} == {
        "32 connections, times Flask": (2.25, True),
        "32 connections, times stock handler": (6.0, True),
        "32 connections, times bare loop": (0.9, False),
        "8 connections, p99 in Flask's": (0.9, True),
    }


def test_one_connection_is_measured_in_ms_beyond_the_bare_loop() -> None:
    assert [(one.measured, one.met) for one in goal.of_one_connection(PICTURES)] == [
        (1.0, True),
        (5.0, False),
    ]


def test_goals_of_memory_and_of_the_start() -> None:
    (memory,) = goal.of_memory(Footprint(4, model=1500, idle=1000, weights=400))
    assert (memory.measured, memory.met) == (1.25, True)
    (start,) = goal.of_cold_start(ColdStart(Spread(5.0, 4, 6), Spread(4.0, 4, 5)))
    assert (start.measured, start.met) == (1.25, False)


def test_both_are_told_in_a_line() -> None:
    found = Footprint(4, model=3 * 2**20, idle=2**20, weights=2 * 2**20)
    assert table.footprint(found) == (
        "memory: 4 workers hold 3 MiB, as many idle ones 1: 1.00 times the weights' 2"
    )
    start = ColdStart(Spread(5.0, 4, 6), Spread(4.0, 4, 5))
    assert "5.00 s (4.00..6.00), the stock handler 4.00 s (4.00..5.00): 1.25 times" in table.cold_start(start)


def test_what_was_measured_is_kept_and_shown_beside_what_was_not(tmp_path: Path) -> None:
    outcome = Outcome(list(goal.of_pictures(PICTURES, 2.2, 0.95)), PICTURES)
    goals.keep("resnet_int8", outcome, tmp_path)
    told = goals.rows(tmp_path)
    assert ("resnet_int8", "32 connections, times bare loop", "at least 0.95", "0.90", "missed") in told
    assert ("resnet_float32", "not measured yet", "", "", "") in told
    assert "<svg" in (tmp_path / "resnet_int8.html").read_text()
    kept = msgspec.json.decode((tmp_path / "resnet_int8.json").read_bytes())
    assert kept["found"]["rows"][0]["contestant"] == "pthserve"


def test_memory_alone_measures_nothing_under_load(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = Footprint(4, model=3, idle=1, weights=2)
    monkeypatch.setattr(footprint, "measured", lambda *_: found)
    monkeypatch.setattr(benchmark, "measured", lambda *_: pytest.fail("measured under load"))
    assert benchmark.benchmark(Places(), "diabetes", Asked(memory=True), None, True) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"memory": {"workers": 4, "model": 3, "idle": 1, "weights": 2}}
    assert "1.00 times the weights'" in err


@pytest.mark.parametrize("status", [0, 1])
def test_the_exit_status_tells_of_bad_answers_and_the_report_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    errors = {"503": 1} if status else {}
    found = result(Row("pthserve", 1, (Round(1.0, 5, 1, 1, 1, errors),)))
    monkeypatch.setattr(benchmark, "measured", lambda *_: found)
    report = tmp_path / "report.html"
    assert benchmark.benchmark(Places(), "diabetes", Asked(), report, False) == status
    assert "pthserve" in capsys.readouterr().out
    assert report.read_text().startswith("<!doctype html>")


def test_a_model_that_is_not_there_is_named(console: Console) -> None:
    with pytest.raises(CommandError, match="there is no model 'cat'"):
        benchmark.benchmark(Places(), "cat", Asked(), None, False)
