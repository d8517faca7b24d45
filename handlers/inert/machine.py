"""Opcodes -> values, by the rules of Python's own unpickler (Lib/pickle.py), without its imports and calls.

So what is named here is exactly what that would import, whatever way a name takes to the stack.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from handlers.inert.foreign import Foreign
from handlers.inert.keys import Keys
from handlers.inert.opcodes import BadPickle
from handlers.inert.stack import Stack

Persistent: TypeAlias = Callable[[Any], Any]
"""A persistent id -> what it stands for: a storage, say. May raise BadPickle."""

Rebuild: TypeAlias = Callable[[str, tuple[Any, ...] | None], Any]
"""(name, arguments of its call, None where it is only named) -> a value, or NotImplemented to leave it
Foreign. May raise BadPickle."""

MOST_STEPS = 5_000_000
"""Opcodes of one pickle, and what it has copied: 100,000 tensors; ten seconds and a gigabyte at worst."""

MOST_BITS = 1 << 10
"""Of an integer; Python refuses to print those of more than 14,000, wherever they turn up later."""


class Machine:
    """An unpickler between two opcodes."""

    def __init__(self, persistent: Persistent, rebuild: Rebuild) -> None:
        self.stack = Stack()
        self.names: dict[str, None] = {}
        self.unusual: dict[str, None] = {}
        self._persistent = persistent
        self._rebuild = rebuild
        self._keys = Keys()
        self._left = MOST_STEPS

    def charge(self, steps: int) -> None:
        """Raises BadPickle when more was done than a pickle may ask for."""
        self._left -= steps
        if self._left < 0:
            raise BadPickle(f"takes more than {MOST_STEPS:,} steps to read")

    def push(self, value: Any) -> None:
        """A plain value; of an integer too long to print, what made it."""
        long = isinstance(value, int) and value.bit_length() > MOST_BITS
        self.stack.push(Foreign("builtins.int") if long else value)

    def push_python_2_text(self, latin: str) -> None:
        """Bytes of unknown encoding: UTF-8 where it is, as torch reads them, else as pickletools does."""
        try:
            self.stack.push(latin.encode("latin-1").decode("utf-8"))
        except UnicodeDecodeError:
            self._note("text of Python 2 as", "something else than UTF-8")
            self.stack.push(latin)

    # Containers

    def extend(self, opcode: str, items: list[Any]) -> None:
        """Append to what is on top."""
        into = self.stack.top
        if isinstance(into, list):
            into.extend(items)
        elif isinstance(into, set):
            into.update(self._keys.checked(items))
        else:
            self._note(f"{opcode} on", into)
            if isinstance(into, Foreign):
                into.items.extend(items)

    def fill(self, opcode: str, items: list[Any]) -> None:
        """Key, value, key, value, ... into what is on top."""
        into = self.stack.top
        if isinstance(into, dict):
            into.update(zip(self._keys.checked(items[::2]), items[1::2], strict=True))
        else:
            self._note(f"{opcode} on", into)
            if isinstance(into, Foreign):
                into.pairs.extend(zip(items[::2], items[1::2], strict=True))

    def drop_marked(self) -> None:
        self.stack.marked()

    def frozen(self) -> None:
        self.stack.push(frozenset(self._keys.checked(self.stack.marked())))

    def dict_of(self, items: list[Any]) -> None:
        self.stack.push({})
        self.fill("DICT", items)

    # What would be imported, called and filled

    def name(self, module: Any, attribute: Any) -> None:
        """A global; of what an attacker puts in place of text, the type."""
        dotted = f"{_text(module)}.{_text(attribute)}"
        self.charge(len(dotted))
        self.names[dotted] = None
        known = self._rebuild(dotted, None)
        self.stack.push(Foreign(dotted) if known is NotImplemented else known)

    def call(self, made: Any, args: Any) -> None:
        """Copying an argument again and again is work that the file pays for only once: it is charged."""
        if not isinstance(made, Foreign) or not isinstance(args, tuple):
            raise BadPickle(f"calls a {type(made).__name__} with a {type(args).__name__}")
        self.charge(sum(len(item) for item in args if isinstance(item, SIZED)))
        known = NotImplemented if made.args is not None else self._rebuild(made.name, args)
        self.stack.push(Foreign(_called(made), args) if known is NotImplemented else known)

    def make(self, values: list[Any]) -> None:
        """A class and its arguments, flat on the stack."""
        self.call(values[0], tuple(values[1:]))

    def make_with_keywords(self, made: Any, args: Any, keywords: Any) -> None:
        self.call(made, (*args, keywords) if keywords else args)

    def instance(self, module: str, attribute: str) -> None:
        args = self.stack.marked()
        self.name(module, attribute)
        self.call(self.stack.pop(), tuple(args))

    def build(self, state: Any) -> None:
        """An object's attributes. Those of a dict or a tensor are dropped."""
        into = self.stack.top
        if isinstance(into, Foreign):
            into.state = state
        elif isinstance(into, list | tuple | set | frozenset | str | bytes | int | float | None):
            self._note("BUILD on", into)

    def persist(self, pid: Any) -> None:
        self.stack.push(self._persistent(pid))

    def _note(self, deed: str, what: Any) -> None:
        if len(self.unusual) < MOST_NOTES:
            self.unusual[
                f"{deed} {what.name[:LONGEST_NOTE] if isinstance(what, Foreign) else _text(what)}"
            ] = None


MOST_NOTES, LONGEST_NOTE = 8, 100

SIZED = (dict, list, tuple, set, frozenset, str, bytes, bytearray)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else f"<{type(value).__name__}>"


def _called(made: Foreign) -> str:
    """What a call gives has the name of what is called, and () behind it where that was called before."""
    return made.name if made.args is None or made.name.endswith("()") else f"{made.name}()"
