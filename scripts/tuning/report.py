"""A search as one file: the frontier as a plot, and in HTML all that was measured."""

from __future__ import annotations

import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

import msgspec
from matplotlib.figure import Figure

from scripts.benchmarking.report import PAGE, STYLE
from scripts.errors import CommandError
from scripts.tuning import frontier
from scripts.tuning.frontier import Point
from scripts.tuning.goal import Goal
from scripts.tuning.search import Found

SUFFIXES = (".html", ".png", ".svg")


def write(path: Path, name: str, found: Found, goal: Goal, diff: str) -> None:
    """The file, in the format of its suffix."""
    if path.suffix == ".html":
        path.write_text(_page(name, found, goal, diff), encoding="utf-8")
    else:
        path.write_bytes(_drawn(found, goal, path.suffix.removeprefix(".")))


def _page(name: str, found: Found, goal: Goal, diff: str) -> str:
    title = escape(f"{name}: tuned for {goal}")
    points = frontier.points(found.measured)
    rows = "".join(_row(one) for one in points)
    head = "".join(f"<th>{word}</th>" for word in frontier.HEADING[:-1])
    svg = _drawn(found, goal, "svg").decode()
    raw = msgspec.json.encode(found).decode().replace("</", "<\\/")  # a script ends at its first end tag
    notes = "".join(f"<p>{escape(note)}</p>" for note in found.notes)
    changes = f"<pre>{escape(diff)}</pre>" if diff else "<p>The present setting stays.</p>"
    body = f"{svg[svg.index('<svg') :]}{changes}{notes}<table><tr>{head}</tr>{rows}</table>"
    return PAGE.format(title=title, style=STYLE, body=body, raw=raw)


def _row(point: Point) -> str:
    row = point.row
    cells = [
        str(point.setting),
        str(row.connections),
        f"{row.rate.median:.1f} ({row.rate.lowest:.1f}..{row.rate.highest:.1f})",
        f"{row.p50.median:.1f}",
        f"{row.p99.median:.1f}",
        str(sum(row.errors.values())),
    ]
    return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"


def _drawn(found: Found, goal: Goal, kind: str) -> bytes:
    """Every setting at every load: items/s over p99, the frontier as a line."""
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.subplots()
    points = frontier.points(found.measured)
    for label, setting in (("present", found.start), ("proposed", found.best)):
        own = [one for one in points if one.setting == setting]
        axes.plot(*_line(own), "s", markersize=10, fillstyle="none", label=label)
    axes.plot(*_line(points), "o", alpha=0.5, label="measured")
    ahead = [one for one in points if one.on_frontier]
    axes.plot(*_line(ahead), "-", label="frontier")
    for one in ahead:
        told = f"{one.setting} at {one.row.connections}"
        axes.annotate(told, (one.p99, one.rate), fontsize=7, xytext=(4, -8), textcoords="offset points")
    if goal.limit is not None:
        axes.axvline(goal.limit, linestyle=":", color="red", label="limit")
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("p99, ms")
    axes.set_ylabel("items/s")
    axes.grid(alpha=0.3)
    axes.legend()
    drawn = io.BytesIO()
    figure.savefig(drawn, format=kind)
    return drawn.getvalue()


def _line(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    """(p99, items/s)"""
    return [one.p99 for one in points], [one.rate for one in points]


def require_suffix(path: Path | None) -> None:
    """Raises CommandError for a report in no known format."""
    if path is not None and path.suffix not in SUFFIXES:
        raise CommandError(f"--report is {path.name!r}", hint=f"its name must end in {', '.join(SUFFIXES)}")
