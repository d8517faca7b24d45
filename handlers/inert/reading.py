"""One pickle, from its first opcode to its last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from handlers.inert.foreign import Foreign
from handlers.inert.machine import Machine, Persistent, Rebuild
from handlers.inert.opcodes import BadPickle, Source, opcodes


class Pickled(Struct, frozen=True):
    """One pickle, read to its end."""

    value: Any
    """dict, list, tuple, set, text, bytes, numbers, None, Foreign, and what the callbacks made. Parts may
    be shared and cyclic, and nested as deep as the file is long: see inert.walk."""
    names: tuple[str, ...]
    """Every global that it names, "module.attribute" as written, in order, each once."""
    opcodes: frozenset[str]
    unusual: tuple[str, ...]
    """What is done to values that it isn't usually done to: "APPENDS to collections.deque"."""
    end: int
    """Where the first byte behind it stands."""


def read(
    source: Source,
    persistent: Persistent = lambda pid: Foreign("persistent id", (pid,)),
    rebuild: Rebuild = lambda name, args: NotImplemented,
) -> Pickled:
    """The pickle at the source's position; raises BadPickle, with the names seen until there."""
    machine, seen = Machine(persistent, rebuild), set[str]()
    try:
        for name, argument in opcodes(source):
            seen.add(name)
            machine.charge(1)
            ACTIONS.get(name, Machine.push)(machine, argument)
        value = machine.stack.top
    except BadPickle as bad:
        raise BadPickle(str(bad), tuple(machine.names)) from None
    except (ArithmeticError, LookupError, MemoryError, RecursionError, TypeError, ValueError) as error:
        raise BadPickle(f"malformed ({type(error).__name__})", tuple(machine.names)) from None
    return Pickled(value, tuple(machine.names), frozenset(seen), tuple(machine.unusual), source.position)


ACTIONS: dict[str, Callable[[Machine, Any], None]] = {
    "NONE": lambda machine, _: machine.stack.push(None),
    "NEWTRUE": lambda machine, _: machine.stack.push(True),
    "NEWFALSE": lambda machine, _: machine.stack.push(False),
    "EMPTY_LIST": lambda machine, _: machine.stack.push([]),
    "EMPTY_TUPLE": lambda machine, _: machine.stack.push(()),
    "EMPTY_DICT": lambda machine, _: machine.stack.push({}),
    "EMPTY_SET": lambda machine, _: machine.stack.push(set()),
    **dict.fromkeys(("STRING", "BINSTRING", "SHORT_BINSTRING"), Machine.push_python_2_text),
    **dict.fromkeys(("PROTO", "FRAME", "STOP", "READONLY_BUFFER"), lambda machine, _: None),
    "MARK": lambda machine, _: machine.stack.mark(),
    "POP": lambda machine, _: machine.stack.drop(),
    "POP_MARK": lambda machine, _: machine.drop_marked(),
    "DUP": lambda machine, _: machine.stack.push(machine.stack.top),
    "MEMOIZE": lambda machine, _: machine.stack.put(None),
    "TUPLE1": lambda machine, _: machine.stack.push(tuple(machine.stack.last(1))),
    "TUPLE2": lambda machine, _: machine.stack.push(tuple(machine.stack.last(2))),
    "TUPLE3": lambda machine, _: machine.stack.push(tuple(machine.stack.last(3))),
    "TUPLE": lambda machine, _: machine.stack.push(tuple(machine.stack.marked())),
    "LIST": lambda machine, _: machine.stack.push(machine.stack.marked()),
    "DICT": lambda machine, _: machine.dict_of(machine.stack.marked()),
    "FROZENSET": lambda machine, _: machine.frozen(),
    "APPEND": lambda machine, _: machine.extend("APPEND", machine.stack.last(1)),
    "APPENDS": lambda machine, _: machine.extend("APPENDS", machine.stack.marked()),
    "ADDITEMS": lambda machine, _: machine.extend("ADDITEMS", machine.stack.marked()),
    "SETITEM": lambda machine, _: machine.fill("SETITEM", machine.stack.last(2)),
    "SETITEMS": lambda machine, _: machine.fill("SETITEMS", machine.stack.marked()),
    "GLOBAL": lambda machine, name: machine.name(*name),
    "STACK_GLOBAL": lambda machine, _: machine.name(*machine.stack.last(2)),
    "REDUCE": lambda machine, _: machine.call(*machine.stack.last(2)),
    "NEWOBJ": lambda machine, _: machine.call(*machine.stack.last(2)),
    "NEWOBJ_EX": lambda machine, _: machine.make_with_keywords(*machine.stack.last(3)),
    "OBJ": lambda machine, _: machine.make(machine.stack.marked()),
    "INST": lambda machine, name: machine.instance(*name),
    "BUILD": lambda machine, _: machine.build(machine.stack.pop()),
    "PERSID": lambda machine, pid: machine.persist(pid),
    "BINPERSID": lambda machine, _: machine.persist(machine.stack.pop()),
    "NEXT_BUFFER": lambda machine, _: machine.stack.push(Foreign("out-of-band buffer")),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), lambda machine, index: machine.stack.put(index)),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda machine, index: machine.stack.get(index)),
    **dict.fromkeys(
        ("EXT1", "EXT2", "EXT4"), lambda machine, code: machine.name("copyreg", f"extension {code}")
    ),
}
"""What each opcode does; those that are left out push their argument."""
