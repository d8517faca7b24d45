"""Rounds, their medians, and what a whole result says."""

import json
import re

import pytest
from rich.console import Console

from handlers.runtimes.decision import EAGER, Candidate, Decision, Tried
from scripts.benchmarking import report, table
from scripts.benchmarking.figures import Round, Row, Spread, spread
from scripts.benchmarking.result import BARE, Machine, Memory, Result
from tests.states import printed

MACHINE = Machine("a processor", 2, 2**34, "Linux", {"torch": "2.13.0"}, 0.5)


def rounds(*rates: float, p50: float = 1.0, p99: float = 2.0, **more: object) -> tuple[Round, ...]:
    return tuple(Round(2.0, round(2 * rate), p50, p50, p99, **more) for rate in rates)  # type: ignore[arg-type]


def result(*rows: Row, **more: object) -> Result:
    names = dict.fromkeys(row.contestant for row in rows)
    given = {"memory": {}, "idle": {}} | more
    return Result(
        name="m",
        version="1.0",
        input="a.jpg",
        items=1,
        runtime="eager",
        settings={"batchSize": "8"},
        machine=MACHINE,
        contestants={name: f"what {name} is" for name in names},
        rows=rows,
        **given,  # type: ignore[arg-type]
    )


SOME = (
    Row("pthserve", 1, rounds(100, 90, 130, p50=10.0, p99=14.0)),
    Row(BARE, 1, rounds(120, 120, 120, p50=8.5, p99=9.0)),
    Row("Flask", 1, rounds(50, 40, 60)),
    Row("pthserve", 32, rounds(200)),
    Row(BARE, 32, rounds(220)),
    Row("Flask", 32, rounds(40)),
)


def test_a_row_tells_the_median_with_the_lowest_and_the_highest() -> None:
    assert SOME[0].rate == Spread(100, 90, 130)
    assert spread([3.0]) == Spread(3.0, 3.0, 3.0)


def test_errors_of_all_rounds_are_counted() -> None:
    row = Row("a", 1, rounds(1, 1, errors={"503": 2, "timeout": 1}))
    assert row.errors == {"503": 4, "timeout": 2}
    assert table.errors(row) == "4 503, 2 timeout"
    assert table.errors(SOME[0]) == "0"


def test_a_contestant_that_answers_nothing_has_no_ratio() -> None:
    assert spread([1.0]) / spread([0.0]) == float("inf")


def test_ratios_are_of_medians_beside_each_other_contestant() -> None:
    found = result(*SOME).ratios()
    assert found == {
        BARE: {1: pytest.approx(100 / 120), 32: pytest.approx(200 / 220)},
        "Flask": {1: 2.0, 32: 5.0},
    }


def test_one_connection_is_held_against_the_bare_loop() -> None:
    assert result(*SOME).beyond_bare() == (1.5, 5.0)
    assert result(*SOME[3:]).beyond_bare() is None


def test_the_table_names_every_row_and_what_they_mean(console: Console) -> None:
    found = result(*SOME, memory={"pthserve": Memory(3 * 2**20, 2**20)}, up_seconds=3.21)
    table.show(found, console)
    told = printed(console)
    assert re.search(r"^1 +pthserve +100 +90\.0\.\.130 +10\.0 +10\.0 +14\.0 +0", told, re.MULTILINE)
    assert "pthserve beside Flask: 2.00 times at 1, 5.00 times at 32" in told
    assert "one connection: +1.50 ms at p50 and +5.00 ms at p99" in told
    assert "pthserve: 3 MiB, its workers 1" in told
    assert "up to READY: 3.2 s" in told


def test_the_report_stands_alone_and_holds_the_raw_figures() -> None:
    page = report.page(result(*SOME))
    assert page.count("<svg") == 1
    assert not re.search(r"(src|href)=.https?:", page)
    raw = re.search(r'<script type="application/json" id="result">(.*?)</script>', page, re.DOTALL)
    assert raw is not None
    assert json.loads(raw[1])["rows"][0]["rounds"][0]["items"] == 200
    for text in ("a processor, 2 cores", "2.13.0", "what Flask is", "batchSize"):
        assert text in page


def test_the_report_tells_what_was_tried_as_runtime() -> None:
    tried = (Tried(EAGER, "slower"), Tried(Candidate("openvino"), "kept", error=1e-5, ms_one=1.5))
    decided = Decision(Candidate("openvino"), "", "", {}, threads=1, batch=8, tried=tried)
    page = report.page(result(*SOME, decision=decided))
    assert "<h2>runtime: openvino</h2>" in page
    assert "<td>1e-05</td>" in page
    assert "<td>kept</td>" in page


def test_what_a_name_holds_never_ends_the_reports_script() -> None:
    rows = [Row("</script><b>", 1, rounds(1))]
    page = report.page(result(*rows))
    assert page.count("</script>") == 1
    assert "<b>" not in page.partition("<script")[0]
