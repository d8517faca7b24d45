"""Parts -> the text of model.py."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

from scripts.drafting.classes import Class
from scripts.drafting.names import is_attribute, plain
from scripts.drafting.parts import Block, Held, Layer, Part, Row
from scripts.drafting.text import (
    WIDTH,
    Call,
    call_of,
    items_of,
    lines_of,
    paragraph,
    parameter_call,
    quoted,
    tensor_call,
)

USES = 90
"""Characters in which a class's docstring names the places of its use, before it counts the rest."""

LISTED = 24
"""How many modules the message of a missing forward lists."""


class Head(Struct, frozen=True):
    """The docstring of the file, its first line apart."""

    first: str
    rest: tuple[str, ...]


def module(head: Head, body: Sequence[str]) -> str:
    """A whole file: docstring, the imports that the body needs, and the body."""
    text = "\n".join(body)
    doc = "\n".join([f'"""{head.first}', "", *head.rest, '"""']) if head.rest else f'"""{head.first}"""'
    return "\n".join([doc, "", *imports(text), "", "", text.strip("\n")]) + "\n"


def imports(text: str) -> list[str]:
    """The import lines that the text uses, sorted as ruff sorts them."""
    lines = [f"import {name}" for name in ("timm", "torch") if re.search(rf"\b{name}\.", text)]
    from_torch = "from torch import Tensor, nn" if re.search(r"\bTensor\b", text) else "from torch import nn"
    lines.append(from_torch)
    if re.search(r"\bF\.", text):
        lines.append("from torch.nn import functional as F")
    if re.search(r"\bmodels\.", text):
        lines.append("from torchvision import models")
    return lines


def class_lines(found: Class) -> Iterator[str]:
    """A class of the draft, with two blank lines before it."""
    yield from ("", "", f"class {found.name}(nn.Module):", f'    """Used as {_uses(found.paths)}."""', "")
    yield from _initialiser(found.block, found.parameters)
    yield from _forward(found.block, f"write {found.name}.forward as in the code that trained it")


def _uses(paths: Sequence[str]) -> str:
    """As many of the paths as stand on one line, then a count."""
    named = [plain(path) for path in paths[:4]]
    while len(named) > 1 and len(", ".join(named)) > USES - len(" and 1234 more"):
        named.pop()
    more = f" and {len(paths) - len(named)} more" if len(paths) > len(named) else ""
    return f"{', '.join(named)}{more}"


def network_lines(root: Part, about: str) -> Iterator[str]:
    """The class Network: a module of blocks, or a Sequential, ModuleList or layer of its own."""
    base = "nn.Module" if isinstance(root, Block) else f"nn.{root.kind}"
    yield from ("", "", f"class Network({base}):", f'    """{about}"""', "")
    if isinstance(root, Block):
        yield from _initialiser(root, ())
        yield from _forward(root, _to_write(root.entries))
        return
    yield "    def __init__(self) -> None:"
    yield from lines_of(_super(root), 8)
    if isinstance(root, Row) and root.kind == "ModuleList":
        entries = [(str(number), one) for number, one in enumerate(root.items)]
        yield from _missing(_to_write(entries))


def _super(root: Layer | Row) -> Call:
    if isinstance(root, Layer):
        return Call("super().__init__", call_of(root).arguments)
    if root.kind == "Sequential":
        return Call("super().__init__", items_of(root))
    return Call("super().__init__", (Call("", items_of(root), brackets=("[", "]")),))


def _initialiser(block: Block, parameters: Sequence[str]) -> Iterator[str]:
    signature = Call("def __init__", ("self", *(f"{name}: int" for name in parameters)))
    yield from lines_of(signature, 4, end=" -> None:")
    yield "        super().__init__()"
    for tensor in block.tensors:
        yield from _tensor(tensor)
    for name, part in block.entries:
        if is_attribute(name):
            yield from lines_of(call_of(part), 8, before=f"self.{name} = ")
        else:
            call = call_of(part)
            plain_call = Call(
                "self.add_module", (quoted(name), Call(call.callee, call.arguments)), comment=call.comment
            )
            yield from lines_of(plain_call, 8)


def _tensor(tensor: Held) -> list[str]:
    if tensor.buffer:
        return lines_of(Call("self.register_buffer", (quoted(tensor.name), tensor_call(tensor))), 8)
    if is_attribute(tensor.name):
        return lines_of(parameter_call(tensor), 8, before=f"self.{tensor.name} = ")
    return lines_of(Call("self.register_parameter", (quoted(tensor.name), parameter_call(tensor))), 8)


def _forward(block: Block, to_write: str) -> Iterator[str]:
    if block.forward is None:
        yield from _missing(to_write)
        return
    yield from ("", "    def forward(self, x: Tensor) -> Tensor:")
    for line in block.forward:
        yield f"        {line}"


def _missing(to_write: str) -> Iterator[str]:
    """A forward that says what is left to do."""
    yield from ("", "    def forward(self, x: Tensor) -> Tensor:")
    whole = Call("raise NotImplementedError", (quoted(to_write),)).line
    if len(whole) <= WIDTH - 8:
        yield f"        {whole}"
    else:
        yield from ("        raise NotImplementedError(", *paragraph(to_write, 12), "        )")


def _to_write(entries: Sequence[tuple[str, Part | Held]]) -> str:
    """What is left to do for Network, from which modules."""
    modules = [f"{plain(entry)} ({_kind(part)})" for entry, part in entries[:LISTED]]
    more = f" and {len(entries) - LISTED} more" if len(entries) > LISTED else ""
    saved = f" Its modules in saved order: {', '.join(modules)}{more}." if modules else ""
    return f"write Network.forward as in the code that trained it.{saved}"


def _kind(part: Part | Held) -> str:
    if isinstance(part, Held):
        return "Parameter"
    if isinstance(part, Layer) and part.kind.startswith("utils."):  # weight_norm and the like wrap a layer
        return next(one.value.kind for one in part.arguments if isinstance(one.value, Layer))
    return part.kind if isinstance(part, Layer | Row) else "Module"
