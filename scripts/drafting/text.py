"""Calls -> lines of Python as `ruff format` leaves them at 110 columns."""

from __future__ import annotations

import textwrap
from itertools import groupby

from msgspec import Struct
from msgspec.structs import replace

from scripts.drafting.parts import Argument, Held, Layer, Part, Row

WIDTH = 110
REPEATED = 3
"""Equal modules in a row that are written as one with `for _ in range`."""


class Call(Struct, frozen=True):
    """`callee(arguments)`; each argument is text or another call, behind `before`."""

    callee: str
    arguments: tuple[Call | str, ...]
    before: str = ""
    comment: str = ""
    brackets: tuple[str, str] = ("(", ")")
    times: int = 1
    """How many of it stand there, as `*(CALL for _ in range(TIMES))`."""

    @property
    def line(self) -> str:
        """On one line, without its comment."""
        opening, closing = self.brackets
        one = f"{self.before}{self.callee}{opening}{self.inner}{closing}"
        return one if self.times == 1 else f"*({one} for _ in range({self.times}))"

    @property
    def inner(self) -> str:
        """Its arguments on one line."""
        return ", ".join(one if isinstance(one, str) else one.line for one in self.arguments)

    @property
    def commented(self) -> bool:
        """Whether a call inside it has a comment, which must end its line."""
        return any(isinstance(one, Call) and (one.comment or one.commented) for one in self.arguments)


def call_of(part: Part) -> Call:
    """The expression that builds a part; a Block has become a call of its class by now."""
    if isinstance(part, Row):
        return _row(part)
    if not isinstance(part, Layer):
        raise TypeError(f"a block at {part.path!r} has no class")
    callee = part.kind if part.own else f"nn.{part.kind}"
    comment = f"confirm: {', '.join(part.confirm)}" if part.confirm else ""
    if callee.startswith("net."):  # a module that is there already
        return Call(callee, (), comment=comment, brackets=("", ""))
    return Call(callee, tuple(map(_argument, part.arguments)), comment=comment)


def lines_of(call: Call, indent: int, before: str = "", end: str = "") -> list[str]:
    """`before`, the call and `end` on one line where it fits and hides no comment; else opened up."""
    space = " " * indent
    comment = f"  # {call.comment}" if call.comment else ""
    whole = f"{space}{before}{call.line}{end}{comment}"
    if (len(whole) <= WIDTH and not call.commented) or not call.arguments:
        return [whole]
    if call.times > 1:
        one = lines_of(replace(call, times=1, comment=""), indent + 4)
        return [f"{space}*(", *one, f"{space}    for _ in range({call.times})", f"{space}){end}{comment}"]
    opening, closing = call.brackets
    lines = [f"{space}{before}{call.before}{call.callee}{opening}"]
    inner = f"{space}    {call.inner}"
    if len(inner) <= WIDTH and not call.commented and all(isinstance(one, str) for one in call.arguments):
        return [*lines, inner, f"{space}{closing}{end}{comment}"]
    for argument in call.arguments:
        if isinstance(argument, Call):
            lines += lines_of(argument, indent + 4, end=",")
        else:
            lines.append(f"{space}    {argument},")
    return [*lines, f"{space}{closing}{end}{comment}"]


def tensor_call(tensor: Held) -> Call:
    """`torch.zeros(...)` of its shape and dtype."""
    sizes = ("()",) if not tensor.shape else tuple(map(str, tensor.shape))
    if len(sizes) > 1 and tensor.dtype:
        sizes = (f"({', '.join(sizes)})",)
    return Call("torch.zeros", (*sizes, *([f"dtype={tensor.dtype}"] if tensor.dtype else [])))


def parameter_call(tensor: Held) -> Call:
    return Call("nn.Parameter", (tensor_call(tensor),))


def items_of(row: Row) -> tuple[Call, ...]:
    """The items of a row, with those that repeat written once."""
    calls = [parameter_call(one) if isinstance(one, Held) else call_of(one) for one in row.items]
    items: list[Call] = []
    for call, alike in groupby(calls):
        count = len(list(alike))
        items += [replace(call, times=count)] if count >= REPEATED and not call.commented else [call] * count
    return tuple(items)


def paragraph(text: str, indent: int) -> list[str]:
    """Quoted pieces of a message, one a line."""
    pieces = textwrap.wrap(text, WIDTH - indent - 3, break_on_hyphens=False)
    spaced = [*(f"{piece} " for piece in pieces[:-1]), pieces[-1]]
    return [f"{' ' * indent}{quoted(piece)}" for piece in spaced]


def quoted(text: str) -> str:
    """Text as Python writes it, in double quotes where ruff would put them."""
    single = repr(text)
    return f'"{single[1:-1]}"' if single[0] == "'" and '"' not in text else single


def _row(row: Row) -> Call:
    items = items_of(row)
    if row.kind == "Sequential":
        return Call("nn.Sequential", items)
    return Call(f"nn.{row.kind}", (Call("", items, brackets=("[", "]")),))


def _argument(argument: Argument) -> Call | str:
    before = "" if argument.positional else f"{argument.name}="
    if isinstance(argument.value, Layer):
        call = call_of(argument.value)
        return Call(call.callee, call.arguments, before=before)
    return f"{before}{argument.value}"
