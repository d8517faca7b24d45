"""The lines of a plain chain's forward; none where names or widths speak against a plain chain."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from msgspec import Struct
from msgspec.structs import replace

from scripts.drafting.joints import Joint, activated_between, joint
from scripts.drafting.names import is_attribute
from scripts.drafting.parts import Block, Held, Layer, Part, Row, parts_of, tail, told
from scripts.drafting.rows import activated
from scripts.drafting.text import quoted

BRANCHES = re.compile(
    r"down_?sampl|short_?cut|skip|resid|identity|attn|attention|lateral|gate|squeeze|excit"
    r"|^(to_)?(q|k|v|query|key|value)(_|s?$)|^se$|aux|^mu$|log_?var|sigma"
)
"""In names of modules that run beside others, not after them."""


class Step(Struct, frozen=True):
    """A module that is called: `self.fc1`, or one of a ModuleList, `self.layers[0]`."""

    call: str
    part: Part
    entry: str


def chained(block: Block, *, outermost: bool) -> Block:
    """The block with forward, takes and gives, where its modules in saved order make a plain chain."""
    parts = [part for _, part in block.entries]
    if not parts:
        return block
    likely = replace(block, takes=parts[0].takes, gives=parts[-1].gives)
    steps = [step for name, part in block.entries for step in _steps(name, part)]
    joints = [joint(one.part.gives, other.part.takes) for one, other in pairwise(steps)]
    if block.tensors or not all(map(told, parts)) or not all(joints) or steps[0].part.takes is None:
        return likely
    if any(BRANCHES.search(name.lower()) for name, _ in block.entries):
        return likely
    if not outermost and _may_be_residual(likely):
        return likely
    ended = {
        step.entry
        for step, after in pairwise(steps)
        if activated_between(step.part, after.part) and not _is_code(step)
    }
    entries = tuple((name, activated(part) if name in ended else part) for name, part in block.entries)
    found = [one for one in joints if one is not None]
    return replace(likely, entries=entries, forward=tuple(_lines(steps, found, outermost=outermost)))


def _steps(name: str, part: Part) -> Iterator[Step]:
    call = f"self.{name}" if is_attribute(name) else f"self.get_submodule({quoted(name)})"
    if isinstance(part, Row) and part.kind == "ModuleList":
        for number, item in enumerate(part.items):
            if not isinstance(item, Held):
                yield Step(f"{call}[{number}]", item, name)
    else:
        yield Step(call, part, name)


def _may_be_residual(block: Block) -> bool:
    """Several layers that end with what they began with: the input may be added at the end."""
    weighted = [one for one in parts_of(block) if isinstance(one, Layer) and one.role == "weighted"]
    return len(weighted) > 1 and block.takes == block.gives


def _lines(steps: list[Step], joints: list[Joint], *, outermost: bool) -> Iterator[str]:
    for step, after, between in zip(steps, steps[1:], joints, strict=False):
        if _is_code(step):
            yield f"x = {step.call}(x)  # confirm: no activation after it"
        elif activated_between(step.part, after.part) and not _is_sequential(step.part):
            yield f"x = F.relu({step.call}(x))  # confirm: ReLU"
        elif tail(step.part) == "network" and between.how == "straight":
            yield f"x = {step.call}(x)  # confirm: no activation after it"
        else:
            yield f"x = {step.call}(x)"
        yield from _reshaping(between)
    comment = "  # confirm: no activation after it" if outermost else ""
    yield f"return {steps[-1].call}(x){comment}"


def _reshaping(between: Joint) -> Iterator[str]:
    size = "x".join([str(between.side)] * between.dims)
    if between.how == "pool":
        pooled = f"x = F.adaptive_avg_pool{between.dims}d(x, {between.side}).flatten(1)"
        sized = f"; {between.width} channels of {size}" if between.side > 1 else ""
        yield f"{pooled}  # confirm: pooling{sized}"
    if between.how == "unflatten":
        sizes = (between.width, *[between.side] * between.dims)
        yield f"x = x.unflatten(1, {sizes})  # confirm: {between.width} channels of {size}"


def _is_code(step: Step) -> bool:
    """An autoencoder's encoder that ends with features: mostly its code, without an activation."""
    gives = step.part.gives
    is_encoder = _is_sequential(step.part) and step.entry.lower().startswith("enc")
    return is_encoder and gives is not None and gives.space == "features" and tail(step.part) == "weighted"


def _is_sequential(part: Part) -> bool:
    return isinstance(part, Row) and part.kind == "Sequential"
