"""metering: the lines that TorchServe reads, the file that declares them, no fault that reaches a caller."""

from __future__ import annotations

import ast
import logging
import re
import sys
import warnings
from pathlib import Path

import pytest
import torch
import yaml

from handlers.batch import Batch
from handlers.errors import OutOfMemory
from handlers.metering import CODES, METRICS, OTHER, Meter, Metric
from handlers.recipe import RuntimeName
from handlers.runtimes import Candidate, Fallback, Opened
from handlers.wire import Response

with warnings.catch_warnings():  # importing ts leaves its version file open
    warnings.simplefilter("ignore", ResourceWarning)
    import ts
    from ts.metrics.caching_metric import CachingMetric
    from ts.metrics.metric_cache_yaml_impl import MetricsCacheYamlImpl
    from ts.metrics.metric_type_enum import MetricTypes

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "monitoring" / "torchserve-metrics.yaml"
SHIPPED = Path(ts.__file__).parent / "configs" / "metrics.yaml"

JAVA = re.compile(
    r"\[METRICS]\s*([\w\s]+)\.([\w\s]+):([0-9\-,.e]+)\|#([^|]*)(\|#type:([^|,]+))?\|#hostname:([^,]+),([^,]+)(,(.*))?"
)
"""WorkerLifeCycle's METRIC_PATTERN and Metric's PATTERN, from TorchServe's Java."""

SECONDS = {"reading": 0.000012, "preparing": 0.25, "network": 1.5, "finishing": 0.0}


def batch(requests: int = 3, **items: int) -> Batch:
    return Batch([Response(200, b"")] * requests, SECONDS, items or {"ok": requests})


def opened(runtime: RuntimeName, fallback: Fallback | None = None) -> Opened:
    return Opened(torch.relu, Candidate(runtime), fallback)


def told(capsys: pytest.CaptureFixture[str]) -> dict[tuple[str, str], tuple[str, str]]:
    """(name, labels) -> (kind, value), as Java reads what was printed."""
    found = {}
    for line in capsys.readouterr().out.splitlines():
        match = JAVA.fullmatch(line)
        assert match, line
        found[match[1], match[4]] = match[6], match[3]
    return found


def declared(path: Path, section: str) -> dict[str, Metric]:
    kinds = yaml.safe_load(path.read_text(encoding="utf-8"))[section]
    return {
        one["name"]: Metric(one["name"], kind.upper(), one["unit"], tuple(one["dimensions"]))
        for kind, metrics in kinds.items()
        for one in metrics
    }


def test_the_file_declares_what_the_code_tells_and_nothing_else() -> None:
    ours = {
        metric.name: Metric(metric.name, metric.kind, metric.unit, ("model", "version", *metric.labels))
        for metric in METRICS
    }
    assert declared(FILE, "model_metrics") == ours


def test_torchserves_own_metrics_stay_as_it_ships_them() -> None:
    assert declared(FILE, "ts_metrics") == declared(SHIPPED, "ts_metrics")


def test_torchserves_workers_load_the_file() -> None:
    with warnings.catch_warnings():  # it leaves the file open
        warnings.simplefilter("ignore", ResourceWarning)
        cache = MetricsCacheYamlImpl(str(FILE))
    cache.initialize_cache()
    assert sorted(cache.cache_keys()) == sorted(f"{metric.kind.lower()}:{metric.name}" for metric in METRICS)


def test_every_part_of_the_file_has_its_reason() -> None:
    for part in FILE.read_text(encoding="utf-8").split("\n\n"):
        assert part.startswith("#"), part


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_are_as_prometheus_wants_them(metric: Metric) -> None:
    assert re.fullmatch(r"pthserve_[a-z]+(_[a-z]+)*", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "COUNTER")
    assert metric.name.endswith("_seconds") == (metric.unit == "seconds")


def test_a_batch_is_told_once_for_each_metric(capsys: pytest.CaptureFixture[str]) -> None:
    Meter("cat", "1.0-rc_2").batch(batch(3, ok=5, bad_image=2))
    labels = "model:cat,version:1.0-rc_2"
    assert told(capsys) == {
        ("pthserve_batch_requests", labels): ("HISTOGRAM", "3"),
        ("pthserve_reading_seconds", labels): ("HISTOGRAM", "1.2e-05"),
        ("pthserve_preparing_seconds", labels): ("HISTOGRAM", "0.25"),
        ("pthserve_network_seconds", labels): ("HISTOGRAM", "1.5"),
        ("pthserve_finishing_seconds", labels): ("HISTOGRAM", "0.0"),
        ("pthserve_items_total", f"{labels},code:ok"): ("COUNTER", "5"),
        ("pthserve_items_total", f"{labels},code:bad_image"): ("COUNTER", "2"),
    }


@pytest.mark.parametrize(("device", "label"), [("cpu", "cpu"), ("cuda:1", "cuda1")])
def test_an_opened_model_is_told_with_what_executes_it(
    device: str, label: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Meter("cat", "1.0").opened(opened("eager"), device, [])
    whose = "model:cat,version:1.0"
    labels = f"{whose},runtime:eager,precision:float32,fallback:no,device:{label},assumed:nothing"
    assert told(capsys) == {
        ("pthserve_model_info", labels): ("GAUGE", "1"),
        ("pthserve_out_of_memory_total", whose): ("COUNTER", "0"),
    }


def test_options_precision_and_fallback_are_labels_that_torchserve_can_split(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lower = Opened(torch.relu, Candidate("eager", "bfloat16", ("channels_last",)))
    fallen = opened("eager", Fallback("openvino bfloat16", "library", "it was proven with another"))
    for one, runtime, precision, fallback in (
        (lower, "eager+channels_last", "bfloat16", "no"),
        (fallen, "eager", "float32", "library"),
    ):
        Meter("cat", "1.0").opened(one, "cpu", [])
        (labels,) = (labels for name, labels in told(capsys) if name == "pthserve_model_info")
        assert f"runtime:{runtime},precision:{precision},fallback:{fallback}," in labels


def test_shortages_of_memory_are_counted_where_there_are_any(capsys: pytest.CaptureFixture[str]) -> None:
    meter = Meter("cat", "1.0")
    meter.batch(Batch([Response(200, b"")], SECONDS, {"ok": 1}, 2))
    assert told(capsys)["pthserve_out_of_memory_total", "model:cat,version:1.0"] == ("COUNTER", "2")
    meter.batch(batch())
    assert "pthserve_out_of_memory_total" not in {name for name, _ in told(capsys)}


def test_what_is_assumed_is_one_label_that_torchserve_can_split(capsys: pytest.CaptureFixture[str]) -> None:
    Meter("cat", "1.0").opened(opened("eager"), "cpu", ["input", "output"])
    (labels,) = (labels for name, labels in told(capsys) if name == "pthserve_model_info")
    assert labels.endswith("device:cpu,assumed:input+output")


def test_lines_are_those_that_torchserves_own_api_writes(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: 1e9)
    Meter("cat", "1.0").batch(batch(3, ok=2, bad_json=1))
    ours = capsys.readouterr().out.splitlines()
    for line in ours:
        name, unit, value, labels, _, kind, *_ = JAVA.fullmatch(line).groups()
        names, values = zip(*(label.split(":") for label in labels.split(",")), strict=True)
        metric = CachingMetric(name, unit, list(names), MetricTypes[kind])
        with caplog.at_level(logging.INFO):
            metric.add_or_update(float(value) if "." in value else int(value), list(values))
    assert [record.getMessage() for record in caplog.records] == ours


def test_a_code_that_a_model_makes_up_is_no_series_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    meter = Meter("cat", "1.0")
    for number in range(3):
        meter.batch(batch(1, **{f"made:up,{number}|#": 1}))
        assert {labels for name, labels in told(capsys) if name == "pthserve_items_total"} == {
            f"model:cat,version:1.0,code:{OTHER}"
        }


def raised_codes() -> set[str]:
    """Every code="..." in handlers/."""
    return {
        node.value.value
        for path in (ROOT / "handlers").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.keyword) and node.arg == "code" and isinstance(node.value, ast.Constant)
    }


def test_the_codes_are_those_that_our_code_knows() -> None:
    assert raised_codes() | {"ok", "bad_input", "bad_items", "internal", OutOfMemory.code} == CODES
    assert OTHER not in CODES


class Broken:
    def write(self, text: str) -> None:
        raise BrokenPipeError("nobody reads")


def test_what_cannot_be_told_is_logged_once_and_never_raised(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    meter = Meter("cat", "1.0")
    monkeypatch.setattr(sys, "stdout", Broken())
    for _ in range(3):
        meter.opened(opened("eager"), "cpu", [])
        meter.batch(batch())
    (record,) = caplog.records
    assert "serving goes on without" in record.getMessage()
    assert record.exc_info


def test_a_batch_that_makes_no_sense_is_not_raised_either(caplog: pytest.LogCaptureFixture) -> None:
    Meter("cat", "1.0").batch(Batch([], {"dreaming": 1.0}, {}))  # type: ignore[dict-item]
    assert len(caplog.records) == 1


def test_every_metric_of_ours_stands_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for metric in METRICS:
        assert f"`{metric.name}`" in readme, metric.name
        assert all(f"`{label}`" in readme for label in metric.labels)
