"""Blocks -> classes: those that differ by numbers alone become one class with arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from scripts.drafting.names import class_name, is_attribute
from scripts.drafting.parts import Argument, Block, Held, Layer, Part, Row
from scripts.drafting.varying import anonymous, columns, hints, rewritten, skeleton

MOST_PARAMETERS = 6
"""More arguments than that are harder to read than one more class."""


class Class(Struct, frozen=True):
    """A block as a class; its calls name the parameters where its uses differ."""

    name: str
    parameters: tuple[str, ...]
    block: Block
    paths: tuple[str, ...]
    """Where it is used."""


def classes_of(root: Part, before: Sequence[Class] = ()) -> tuple[list[Class], Part]:
    """The classes, each after those that it uses, and the root with calls of them in place of blocks.

    `before` are classes of the same file: they come first, and none is called like them.
    """
    made = list(before)
    calls: dict[int, Layer] = {}
    levels: dict[int, list[Block]] = {}
    for one in _inside(root):
        _level(one, levels)
    for height in sorted(levels):
        blocks = levels[height]
        bare = [replace(block, entries=_called(block, calls)) for block in blocks]
        calls |= {id(block): call for block, call in zip(blocks, _made(bare, made), strict=True)}
    return made, _replaced(root, calls)


def _level(part: Part, levels: dict[int, list[Block]]) -> int:
    """How many blocks are inside each other here; each is put among those of its height."""
    height = max((_level(one, levels) for one in _inside(part)), default=0)
    if not isinstance(part, Block):
        return height
    levels.setdefault(height + 1, []).append(part)
    return height + 1


def _inside(part: Part) -> list[Part]:
    if isinstance(part, Row):
        return [one for one in part.items if not isinstance(one, Held)]
    return [one for _, one in part.entries] if isinstance(part, Block) else []


def _called(block: Block, calls: dict[int, Layer]) -> tuple[tuple[str, Part], ...]:
    """The entries of a block, with calls for the blocks among them."""
    return tuple((name, calls.get(id(one)) or _replaced(one, calls)) for name, one in block.entries)


def _replaced(part: Part, calls: dict[int, Layer]) -> Part:
    """A row, or the root, with calls in place of the blocks in it."""
    if isinstance(part, Row):
        items = [
            one if isinstance(one, Held) else calls.get(id(one)) or _replaced(one, calls)
            for one in part.items
        ]
        return replace(part, items=tuple(items))
    return replace(part, entries=_called(part, calls)) if isinstance(part, Block) else part


def _made(blocks: list[Block], made: list[Class]) -> list[Layer]:
    """A call for each block; their classes are added to `made`."""
    calls: dict[int, Layer] = {}
    for alike in _grouped(blocks, skeleton):
        varying = {column for column in columns(alike) if len(set(column)) > 1}
        groups = [alike] if len(varying) <= MOST_PARAMETERS else _grouped(alike, anonymous)
        for group in groups:
            found, arguments = _class(group, {one.name for one in made})
            made.append(found)
            calls |= {id(block): call for block, call in zip(group, arguments, strict=True)}
    return [calls[id(block)] for block in blocks]


def _grouped(blocks: list[Block], key: Callable[[Block], Part]) -> list[list[Block]]:
    groups: dict[Part, list[Block]] = {}
    for block in blocks:
        groups.setdefault(key(block), []).append(block)
    return list(groups.values())


def _class(blocks: list[Block], used: set[str]) -> tuple[Class, list[Layer]]:
    """The class of blocks of one skeleton, and for each of them the call that makes it."""
    sizes = columns(blocks)
    names: dict[tuple[int, ...], str] = {}
    for column, hint in zip(sizes, hints(blocks[0]), strict=True):
        if len(set(column)) > 1 and column not in names:
            names[column] = _parameter(hint, set(names.values()))
    stand_ins = iter(sizes)

    def stand_in(hint: str, number: int) -> int | str:
        return names.get(next(stand_ins), number)

    name = class_name(_shared(blocks), used)
    block = rewritten(blocks[0], stand_in)
    calls = [
        Layer(name, tuple(Argument(one, column[at]) for column, one in names.items()), own=True)
        for at in range(len(blocks))
    ]
    return Class(name, tuple(names.values()), block, tuple(one.path for one in blocks)), calls


def _shared(blocks: list[Block]) -> str:
    """The path of the first; without the number at its end where another has another: down1, down2."""
    first = blocks[0].path
    stem = first.rstrip("0123456789")
    numbered = any(one.path != first and one.path.rstrip("0123456789") == stem for one in blocks)
    return stem if numbered and stem[-1:].isalpha() else first


def _parameter(hint: str, used: set[str]) -> str:
    """in_channels; if that is another number already, conv2_in_channels; else numbered."""
    entry, _, argument = hint.rpartition(".")
    longer = f"{entry}_{argument}"
    choices = [argument, *([longer] if is_attribute(entry) else [])]
    choices += [f"{argument}_{number}" for number in range(2, len(used) + 3)]
    return next(one for one in choices if one not in used)
