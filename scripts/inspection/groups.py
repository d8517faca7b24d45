"""The tensors of a state dict by module: a row each, or a row for many where there would be too many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct

from scripts.inspection.looks import PARAMETER, kind, look
from scripts.inspection.printable import printable
from scripts.inspection.tensors import Line, dtypes

FEW = 3
"""Tensors whose shapes are listed."""

ROWS = 32
"""Rows that a reader takes in; modules are shown as deep as fits into that."""

DEPTH = 12
"""Levels of modules that are told apart."""

Steps: TypeAlias = tuple[str, ...]
"""A module's dotted name, in parts."""


class Row(Struct, frozen=True):
    """A module, or a run of modules that are made alike ("layer1.1-2")."""

    module: str
    looks: str
    """The likely kind and sizes; of a module of modules, how many of which kind."""
    tensors: int
    shapes: str
    """The tensors with their shapes, where they are few."""
    dtypes: tuple[str, ...]
    """Of the parameters; of buffers where there are no parameters."""
    values: int
    bytes: int


def by_module(lines: Sequence[Line]) -> list[Row]:
    """In the state dict's order, with as much detail as fits into ROWS rows; the top level always."""
    best: list[Row] = []
    for depth in range(1, DEPTH + 1):
        rows = [_row(run) for run in _runs(_grouped(lines, depth))]
        if best and len(rows) > ROWS:
            break
        best = rows
    return best


def modules(lines: Sequence[Line]) -> dict[str, list[Line]]:
    """The tensors of each module that has some of its own: of the root under "", where those look like a
    layer's; else each of them stands alone, under its name."""
    root = [line for line in lines if "." not in line.name]
    layer = look("", {line.name: line.shape for line in root}) != PARAMETER
    found: dict[str, list[Line]] = {}
    for line in lines:
        module = line.name.rpartition(".")[0]
        found.setdefault(module if "." in line.name or layer else line.name, []).append(line)
    return found


class Group(Struct, frozen=True):
    """What lies below one module."""

    path: Steps
    lines: list[Line]

    @property
    def make(self) -> tuple[object, ...]:
        """Equal for modules that are made alike."""
        below = len(".".join(self.path))
        return tuple((line.name[below:], line.shape, line.dtype) for line in self.lines)


def _grouped(lines: Sequence[Line], depth: int) -> list[Group]:
    found: dict[Steps, list[Line]] = {}
    for module, own in modules(lines).items():
        found.setdefault(tuple(module.split(".", depth)[:depth]), []).extend(own)
    return [Group(_shortest(path, own, found), own) for path, own in found.items()]


def _shortest(path: Steps, own: list[Line], groups: Mapping[Steps, list[Line]]) -> Steps:
    """Without the steps that tell it from no other group ("block" of 7.block); a module of tensors stays."""
    if len(modules(own)) == 1:
        return path
    while len(path) > 1 and sum(other[: len(path) - 1] == path[:-1] for other in groups) == 1:
        path = path[:-1]
    return path


def _runs(groups: list[Group]) -> Iterator[list[Group]]:
    """Neighbours under consecutive numbers that are made alike, together."""
    run: list[Group] = []
    for group in groups:
        if run and not (_follows(run[-1].path, group.path) and run[-1].make == group.make):
            yield run
            run = []
        run.append(group)
    if run:
        yield run


def _follows(one: Steps, other: Steps) -> bool:
    if one[:-1] != other[:-1] or not (one[-1].isdecimal() and other[-1].isdecimal()):
        return False
    return len(other[-1]) < 10 and int(other[-1]) == int(one[-1]) + 1


def _row(run: list[Group]) -> Row:
    lines = [line for group in run for line in group.lines]
    first = ".".join(run[0].path)
    leaves = modules(run[0].lines)
    few = len(run) == 1 and list(leaves) == [first] and len(lines) <= FEW
    return Row(
        module=first if len(run) == 1 else f"{first}-{run[-1].path[-1]}",
        looks=_looks(first, leaves) + (f", each of {len(run)}" if len(run) > 1 else ""),
        tensors=len(lines),
        shapes=", ".join(f"{_last(one.name)} {list(one.shape)}" for one in lines) if few else "",
        dtypes=dtypes(lines),
        values=sum(line.values for line in lines if line.shares is None),
        bytes=sum(line.bytes for line in lines if line.shares is None),
    )


def _looks(name: str, leaves: dict[str, list[Line]]) -> str:
    told = [look(leaf, {_last(one.name): one.shape for one in own}) for leaf, own in leaves.items()]
    if list(leaves) == [name]:
        return told[0]
    return ", ".join(f"{number} {one}" for one, number in Counter(map(kind, told)).items())


def _last(name: str) -> str:
    return printable(name.rpartition(".")[2])
