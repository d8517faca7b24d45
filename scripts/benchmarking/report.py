"""A benchmark's result as one HTML file that needs nothing else: plots, tables, raw figures as JSON."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from html import escape

import msgspec
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from handlers.runtimes.decision import Decision
from scripts.benchmarking import table
from scripts.benchmarking.figures import Row, Spread
from scripts.benchmarking.result import Result
from scripts.optimising.table import rows as tried

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222 }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 }
td, th { padding: .2rem .8rem; text-align: right; border-bottom: 1px solid #ddd }
td:nth-child(-n+2), th:nth-child(-n+2) { text-align: left }
svg { max-width: 100%; height: auto }
"""

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{style}</style></head><body>
<h1>{title}</h1>
{body}
<script type="application/json" id="result">{raw}</script>
</body></html>
"""


def page(result: Result) -> str:
    """The whole file."""
    raw = msgspec.json.encode(result).decode().replace("</", "<\\/")  # a script ends at its first end tag
    title = escape(f"{result.name} {result.version}: benchmark")
    parts = [
        _paragraph(f"{result.input}, {result.runtime or 'runtime unknown'}; rounds of {result.seconds:g} s."),
        _plots(result),
        _rows(result),
        *(_paragraph(line) for line in table.lines(result)),
        _pairs("contestants", result.contestants.items()),
        _pairs("recipe", result.settings.items()),
        _decision(result.decision),
        _pairs("machine", _machine(result)),
    ]
    return PAGE.format(title=title, style=STYLE, body="\n".join(parts), raw=raw)


def _machine(result: Result) -> Iterable[tuple[str, str]]:
    machine = result.machine
    yield "processor", f"{machine.processor}, {machine.cores} cores"
    yield "memory", f"{machine.memory / 2**30:.0f} GiB"
    yield "system", machine.system
    yield "load before", f"{machine.load:.2f}"
    yield "idle", ", ".join(f"{name} {share:.1%}" for name, share in result.idle.items())
    yield from machine.versions.items()


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _pairs(heading: str, pairs: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f"<tr><td>{escape(key)}</td><td>{escape(value)}</td></tr>" for key, value in pairs)
    return f"<h2>{escape(heading)}</h2><table>{rows}</table>"


def _decision(found: Decision | None) -> str:
    """What was tried as its runtime; nothing where nothing was."""
    if found is None:
        return ""
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in tried(found))
    return f"<h2>runtime: {escape(str(found.chosen))}</h2><table>{rows}</table>"


def _rows(result: Result) -> str:
    names = ("connections", "contestant", "items/s", "p50 ms", "p95 ms", "p99 ms", "errors", "client")
    head = "".join(f"<th>{name}</th>" for name in names)
    return f"<table><tr>{head}</tr>{''.join(map(_row, result.rows))}</table>"


def _row(row: Row) -> str:
    cells = [
        str(row.connections),
        row.contestant,
        *(_spread(one) for one in (row.rate, row.p50, row.p95, row.p99)),
        table.errors(row),
        f"{row.client.median:.0%}",
    ]
    return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"


def _spread(spread: Spread) -> str:
    return " ".join(
        [table.number(spread.median), f"({table.number(spread.lowest)}..{table.number(spread.highest)})"]
    )


def _plots(result: Result) -> str:
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    rates, latencies = figure.subplots(1, 2)
    _plot(rates, result, lambda row: row.rate, "items/s")
    _plot(latencies, result, lambda row: row.p99, "p99, ms")
    latencies.set_yscale("log")
    rates.set_ylim(bottom=0)
    rates.legend()
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg")
    return drawn.getvalue().partition("?>")[2].partition('dtd">')[2] or drawn.getvalue()


def _plot(axes: Axes, result: Result, of: Callable[[Row], Spread], label: str) -> None:
    for name in result.contestants:
        rows = sorted((row for row in result.rows if row.contestant == name), key=lambda row: row.connections)
        spreads = [of(row) for row in rows]
        medians = [one.median for one in spreads]
        below = [one.median - one.lowest for one in spreads]
        above = [one.highest - one.median for one in spreads]
        counts = [row.connections for row in rows]
        axes.errorbar(counts, medians, yerr=[below, above], label=name, marker="o", capsize=3)
    axes.set_xscale("log", base=2)
    axes.set_xticks(result.connections, [str(count) for count in result.connections])
    axes.set_xlabel("connections")
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)
