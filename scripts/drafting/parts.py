"""Part: what a drafted network is made of, before it becomes text.

names and shapes -> tree -> layers -> rows and blocks -> classes -> text
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

Role: TypeAlias = Literal[
    "weighted",  # Linear, convolutions: an activation is likely to follow
    "norm",
    "activation",
    "fill",  # without parameters: stands where the file has no name
    "network",  # a published one, which ends as it was published
    "other",  # what no plain chain holds: recurrent, attention, embeddings
]


class Signal(Struct, frozen=True):
    """What flows between two layers: features [N, width], or maps [N, width, ...] of `dims` dimensions."""

    space: Literal["features", "maps"]
    width: int
    dims: int = 0


class Argument(Struct, frozen=True):
    """One argument of a call; without a name it is given by position."""

    name: str
    value: Value
    positional: bool = False


class Layer(Struct, frozen=True):
    """A call that builds a module: of torch.nn, of a class of the draft, or of the builder's own layer."""

    kind: str
    """Its name below torch.nn ("Conv2d", "utils.weight_norm"), a class of the draft ("Block"), or a module
    that a builder has made already ("net.classifier[0]")."""
    arguments: tuple[Argument, ...] = ()
    role: Role = "other"
    takes: Signal | None = None
    gives: Signal | None = None
    confirm: tuple[str, ...] = ()
    """What stands in its comment; `doubts` has the clause of each."""
    own: bool = False
    """Whether `kind` is a name of the draft's, not of torch.nn."""

    @property
    def grouped(self) -> bool:
        return any(argument.name == "groups" for argument in self.arguments)


class Held(Struct, frozen=True):
    """A tensor that a module holds itself; `dtype` is named where it isn't float32."""

    name: str
    shape: tuple[int | str, ...]
    buffer: bool
    dtype: str = ""


class Row(Struct, frozen=True):
    """Modules or tensors under the names 0, 1, 2..."""

    kind: Literal["Sequential", "ModuleList", "ParameterList"]
    items: tuple[Part | Held, ...]
    takes: Signal | None = None
    gives: Signal | None = None


class Block(Struct, frozen=True):
    """Named modules and tensors: a class of the draft."""

    path: str
    """Where it was first met, for the name of its class."""
    tensors: tuple[Held, ...] = ()
    entries: tuple[tuple[str, Part], ...] = ()
    forward: tuple[str, ...] | None = None
    """The lines of forward; None where the order of its modules can't be told."""
    takes: Signal | None = None
    gives: Signal | None = None


Part: TypeAlias = Layer | Row | Block
Value: TypeAlias = int | bool | str | tuple[int, ...] | Layer
"""A str is code: the name of a parameter of the class that the call stands in."""


def call(kind: str, *positional: int, **named: Value) -> Layer:
    """A layer of torch.nn with arguments and no more."""
    first = [Argument("", value, positional=True) for value in positional]
    return Layer(kind, (*first, *(Argument(name, value) for name, value in named.items())))


def fill(kind: str, *positional: int, confirm: str = "") -> Layer:
    """A layer without parameters, where the file has no name."""
    return replace(call(kind, *positional), role="fill", confirm=(confirm,) if confirm else ())


def parts_of(part: Part) -> Iterator[Part]:
    """The part and every one inside it, in order."""
    yield part
    inner = part.items if isinstance(part, Row) else ()
    inner = tuple(one for _, one in part.entries) if isinstance(part, Block) else inner
    for one in inner:
        if not isinstance(one, Held):
            yield from parts_of(one)


def told(part: Part) -> bool:
    """Whether running it needs nothing that its owner has yet to write."""
    if isinstance(part, Row):
        chained = part.kind == "Sequential" or part.takes is not None
        return chained and all(not isinstance(one, Held) and told(one) for one in part.items)
    if isinstance(part, Block):
        return part.forward is not None
    return part.role != "other"


def tail(part: Part) -> Role:
    """The role of what runs last in it."""
    if isinstance(part, Row):
        last = part.items[-1] if part.items else None
        return "other" if last is None or isinstance(last, Held) else tail(last)
    return "weighted" if isinstance(part, Block) else part.role


def head(part: Part) -> Role:
    """The role of what runs first in it."""
    if isinstance(part, Row):
        first = part.items[0] if part.items else None
        return "other" if first is None or isinstance(first, Held) else head(first)
    return "weighted" if isinstance(part, Block) else part.role
