"""A benchmark's result on the terminal."""

from __future__ import annotations

from rich.console import Console

from scripts.benchmarking.cold_start import ColdStart
from scripts.benchmarking.figures import Row
from scripts.benchmarking.footprint import Footprint
from scripts.benchmarking.result import Result
from scripts.endpoints import print_table, say

MIB = 2**20


def show(result: Result, console: Console) -> None:
    """Rows, ratios, memory, cold start."""
    print_table(_rows(result), console)
    say(console, "")
    for line in lines(result):
        say(console, line)


def lines(result: Result) -> list[str]:
    """What the rows mean, a sentence each."""
    told = [
        f"{result.ours} beside {other}: "
        + ", ".join(f"{ratio:.2f} times at {count}" for count, ratio in by_count.items())
        for other, by_count in result.ratios().items()
    ]
    beyond = result.beyond_bare()
    if beyond is not None:
        told.append(
            f"one connection: {beyond[0]:+.2f} ms at p50 and {beyond[1]:+.2f} ms at p99, beside the bare loop"
        )
    told += [f"{name}: {_memory(result, name)}" for name in result.memory]
    if result.up_seconds is not None:
        told.append(f"up to READY: {result.up_seconds:.1f} s")
    return told


def _memory(result: Result, name: str) -> str:
    found = result.memory[name]
    workers = f", its workers {found.workers / MIB:,.0f}" if found.workers else ""
    return f"{found.tree / MIB:,.0f} MiB{workers}"


def footprint(found: Footprint) -> str:
    return (
        f"memory: {found.workers} workers hold {found.model / MIB:,.0f} MiB, as many idle ones "
        f"{found.idle / MIB:,.0f}: {found.ratio:.2f} times the weights' {found.weights / MIB:,.0f}"
    )


def cold_start(found: ColdStart) -> str:
    ours, stock = found.ours, found.stock
    return (
        f"register to READY: {ours.median:.2f} s ({ours.lowest:.2f}..{ours.highest:.2f}), the stock handler "
        f"{stock.median:.2f} s ({stock.lowest:.2f}..{stock.highest:.2f}): {found.ratio:.2f} times"
    )


def _rows(result: Result) -> list[list[str]]:
    head = ["connections", "contestant", "items/s", "lowest..highest", "p50", "p95", "p99 ms", "errors"]
    return [[*head, "client"], *map(_row, result.rows)]


def _row(row: Row) -> list[str]:
    return [
        str(row.connections),
        row.contestant,
        number(row.rate.median),
        f"{number(row.rate.lowest)}..{number(row.rate.highest)}",
        *(number(one.median) for one in (row.p50, row.p95, row.p99)),
        errors(row),
        f"{row.client.median:.0%}" if row.client.median else "-",
    ]


def errors(row: Row) -> str:
    """How many of each kind, in all rounds."""
    return ", ".join(f"{count} {error}" for error, count in row.errors.items()) or "0"


def number(value: float) -> str:
    """Three digits that mean something, no more."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
