"""A report as people read it. Names out of the file are made printable, and shortened, on the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from handlers.errors import listed
from handlers.mismatch import describe
from scripts.architectures.match import Match
from scripts.architectures.unknown import located
from scripts.endpoints import print_table, say
from scripts.inspection.fitting import Architecture
from scripts.inspection.health import Health
from scripts.inspection.printable import printable
from scripts.inspection.report import Choice, Report
from scripts.inspection.summaries import counted, sized
from scripts.places import shown

ROWS = 48
"""Lines of a table before the rest is counted, unless --all is given."""

LONG = 400
"""Characters of a sentence."""

FORWARD = {
    "known": "forward included",
    "drafted": "its forward is to be confirmed",
    "missing": "its forward is yours to write",
}
LOADERS = {"safetensors": "safetensors takes it", "TorchScript": "torch.jit.load takes it"}


def print_report(report: Report, console: Console, *, every: bool) -> None:
    """What it is, what is in it, whether it is well, which architecture, what next; `every`: each tensor."""
    path = printable(shown(Path(report.file)), LONG)
    say(console, f"{path}: {printable(report.kind, LONG)} ({report.format}, {sized(report.size)})")
    for line in (*_safety(report), _totals(report), *_shared(report), *_health(report.health)):
        say(console, line)
    if len(report.weights) > 1:
        _print(("weights under", "parameters", ""), map(_choice, report.weights), console)
    if report.extras:
        rows = [(printable(one.key), printable(one.summary, 2 * LONG)) for one in report.extras]
        _print(("beside them", ""), rows if every else _cut(rows), console)
    _print_tensors(report, console, every=every)
    if report.architecture is not None:
        say(console, "")
        for line in _architecture(report.architecture):
            say(console, line)
    if report.next:
        say(console, f"\nnext: {report.next}")


def _safety(report: Report) -> Iterator[str]:
    safety = report.safety
    if safety.loadable:
        yield f"✓ safe: {LOADERS.get(report.format, 'torch.load(weights_only=True) takes it')}"
    elif safety.refused:
        names = listed((printable(name) for name in safety.refused), 6)
        yield f"! unsafe: loading it would import and may run {names}; nothing of it was executed"
    else:
        yield "! no worker loads it as it is"
    if not safety.loadable:
        yield "  `init` takes the tensors out without running it"
    yield from (f"! {printable(note, LONG)}" for note in report.notes)


def _totals(report: Report) -> str:
    held = report.totals
    buffers = f", {held.buffers:,} values in buffers" if held.buffers else ""
    return (
        f"✓ {counted(held.tensors, 'tensor')}, {counted(held.parameters, 'parameter')}{buffers}, "
        f"{sized(held.bytes)}, {' and '.join(held.dtypes)}"
    )


def _shared(report: Report) -> Iterator[str]:
    pairs = [(one.name, one.shares) for one in report.tensors if one.shares is not None]
    if pairs:
        told = listed((f"{printable(name)} lies on {printable(owner)}" for name, owner in pairs), 4)
        yield f"✓ shared memory, counted once: {told}"


def _health(health: Health) -> Iterator[str]:
    """A line for each thing that is wrong or worth a look, with what it means."""
    if health.batches:
        yield f"✓ trained for {counted(health.batches, 'batch', 'batches')}, as BatchNorm counted"
    if health.nonfinite:
        told = (f"{printable(one.name)} ({one.nan} NaN, {one.inf} Inf)" for one in health.nonfinite)
        yield f"! not finite: {listed(told, 4)}: training diverged or the file is damaged; take another one"
    if health.zero:
        yield f"! all zero: {_names(health.zero)}"
    if health.untrained:
        share = f"{len(health.untrained)} of {health.norms} BatchNorm"
        yield f"! never trained: {share} have the statistics that they start with: {_names(health.untrained)}"
    if health.narrow:
        yield f"! {' and '.join(health.narrow)}: narrower than the float32 that a worker computes in"
    if health.unseen:
        yield f"! not looked at, because they overlap in too many ways: {_names(health.unseen)}"


def _choice(one: Choice) -> tuple[str, ...]:
    told = ["an average over training, which is what most training code evaluated"] if one.averaged else []
    told += [f"saved from {' of '.join(one.wrappers)}"] if one.wrappers else []
    return printable(one.key or "the file itself"), f"{one.parameters:,}", "; ".join(told)


def _print_tensors(report: Report, console: Console, *, every: bool) -> None:
    if every:
        rows = [
            (printable(one.name), str(list(one.shape)), one.dtype, f"{one.values:,}", sized(one.bytes))
            for one in report.tensors
        ]
        _print(("tensor", "shape", "dtype", "values", "bytes"), rows, console)
        return
    groups = [
        (
            printable(row.module) or "itself", printable(row.looks), row.shapes or str(row.tensors),
            " and ".join(row.dtypes), f"{row.values:,}", sized(row.bytes),
        )
        for row in report.modules
    ]  # fmt: skip
    _print(("module", "looks like", "tensors", "dtype", "values", "bytes"), _cut(groups), console)


def _architecture(found: Architecture) -> Iterator[str]:
    rivals = found.rivals
    if len(rivals) > 1:
        yield f"architecture: {len(rivals)} fit alike, nothing in the shapes tells them apart:"
    for match in rivals:
        yield ("  " if len(rivals) > 1 else "architecture: ") + _fits(match)
    if others := [f"{one.library}'s {one.builder}" for one in found.best if one not in rivals]:
        yield f"  the same as {listed(others, 4)}"
    if rivals:
        yield from _unknown(rivals[0].unknown)
    else:
        yield from _drafted(found)


def _drafted(found: Architecture) -> Iterator[str]:
    yield "architecture: no published one fits"
    yield from (f"  {_close(match)}" for match in found.matches)
    if found.drafted is not None:
        outputs = f", {counted(found.drafted.outputs, 'output')}" if found.drafted.outputs else ""
        yield f"  init drafts a model.py that loads them{outputs}, {FORWARD[found.drafted.forward]}"
        yield from _unknown(found.drafted.unknown)
    if found.undraftable:
        yield f"  nothing can be drafted: {printable(found.undraftable, LONG)}"


def _fits(match: Match) -> str:
    """As in "torchvision's resnet50 (classification), num_classes 37: every name and shape"."""
    parts = [f"{match.library}'s {match.builder} ({match.family})"]
    parts += [f"{key} {value}" for key, value in match.args.items()]
    parts += [counted(match.channels, "input channel")] if match.channels not in (None, 3) else []
    parts += [f"its names behind {printable(match.prefix)!r}"] if match.prefix else []
    fits = "every name and shape"
    if match.fit == "changed":
        fits = f"all but {_names(match.changed)}, which the checkpoint has otherwise"
    beside = f", beside {_names(match.beside)}" if match.beside else ""
    served = "" if match.servable else "; recognised, not yet servable"
    return f"{', '.join(parts)}: {fits}{beside}{served}"


def _close(match: Match) -> str:
    told = f"{match.library}'s {match.builder} ({match.family})"
    if match.fit == "order":
        return f"{told}: the same shapes in the same order, under other names; not taken for it"
    if match.fit == "part":
        return f"{located(match)}: a published network inside one of its own"
    return f"{told}: {match.share:.0%} of the values; {printable(describe(match.difference), 2 * LONG)}"


def _unknown(clauses: Sequence[str]) -> Iterator[str]:
    yield from (f"  not in the file: {printable(clause, LONG)}" for clause in clauses)


def _names(names: Sequence[str]) -> str:
    return listed((printable(name) for name in names), 4)


def _cut(rows: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    more = (f"and {len(rows) - ROWS} more (--all)", *[""] * (len(rows[0]) - 1)) if len(rows) > ROWS else None
    return [*rows[:ROWS], more] if more else list(rows)


def _print(
    heading: tuple[str, ...], rows: Sequence[tuple[str, ...]] | Iterator[tuple[str, ...]], console: Console
) -> None:
    say(console, "")
    print_table([heading, *rows], console)
