"""The text of a drafted recipe.yaml: what was decided, and beside it, as comments, what its owner has to."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import yaml
from msgspec import UNSET, Struct

from handlers.recipe import Architecture, Sample
from scripts.recipes.decided import Meaning, Network, Preparation
from scripts.recipes.sizing import Sizing

WIDTH = 105

TOLD_ANYWAY = {"mode"}
"""Keys that an owner looks for, whether or not they have their default."""


class Drafted(Struct, frozen=True):
    """Everything that a recipe says."""

    name: str
    origin: str
    """What the weights are, a sentence for the top."""
    weights: str
    weights_key: str | None
    network: Network
    preparation: Preparation
    meaning: Meaning
    samples: tuple[Sample, ...]
    sizing: Sizing

    @property
    def assumed(self) -> list[str]:
        parts = {
            "architecture": self.network.drafted,
            "input": self.preparation.assumed,
            "output": self.meaning.assumed,
        }
        return [key for key, is_assumed in parts.items() if is_assumed]


def write(drafted: Drafted) -> str:
    """The file's text; handlers.recipe.parse takes it."""
    sizing = drafted.sizing
    filled = f"{sizing.workers} x {sizing.threads} threads: this machine's cores"
    lines = [
        "# yaml-language-server: $schema=../recipe.schema.json",
        *comment(drafted.origin, 0),
        f"minWorkers: {sizing.workers:<15} # {filled}",
        f"maxWorkers: {sizing.workers}",
        "batchSize: 8",
        "maxBatchDelay: 1            # ms",
        "responseTimeout: 30         # s",
        "maxRetryTimeoutInSec: 10",
        "handler:",
        *("  " + line if line else "" for line in _handler(drafted)),
    ]
    return "\n".join(lines) + "\n"


def _handler(drafted: Drafted) -> Iterator[str]:
    network, preparation, meaning = drafted.network, drafted.preparation, drafted.meaning
    yield pair("name", drafted.name)
    yield pair("version", "1.0")
    yield pair("task", meaning.task)
    if network.architecture is not UNSET:
        yield pair("architecture", _architecture(network.architecture))
    yield from _decide("architecture", network.unknown)
    yield pair("weights", drafted.weights)
    if drafted.weights_key is not None:
        yield pair("weights_key", drafted.weights_key)
    if network.strip_prefix:
        yield pair("strip_prefix", network.strip_prefix)
    if network.allow_unexpected:
        yield pair("allow_unexpected", list(network.allow_unexpected))
    yield pair("input", given(preparation.inputs))
    yield from _decide("input", preparation.unknown)
    if given(meaning.output):
        yield pair("output", given(meaning.output))
    yield from _decide("output", meaning.unknown)
    yield from _samples(drafted.samples)
    if drafted.assumed:
        yield pair("assumed", drafted.assumed)
        yield from comment(
            "Nothing proves these parts yet. Remove each that you have compared with your training code, or "
            "give a sample an `expect` that it wrote.",
            2,
        )


def _architecture(architecture: Architecture) -> dict[str, Any]:
    return {**given(architecture), "args": architecture.args}


def _samples(samples: Iterable[Sample]) -> Iterator[str]:
    lines = [f"  - {flow(given(sample))}" for sample in samples]
    if lines:
        yield "samples:"
        yield from lines
    if not any(sample.proves_values for sample in samples):
        yield from comment(
            "DECIDE samples: an `expect` that your training code wrote proves the parts above: {input: "
            "samples/FILE, expect: samples/FILE.npy}; README.md has the ten lines that write it",
            2,
        )


def _decide(part: str, clauses: Iterable[str]) -> Iterator[str]:
    for clause in clauses:
        yield from comment(f"DECIDE {part}: {clause}", 2)


def comment(text: str, indent: int) -> list[str]:
    """Lines of comment that are short enough behind `indent` blanks."""
    # a line break within the text would end the comment, and whatever follows would be read
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return ["# " + line for line in textwrap.wrap(" ".join(plain.split()), WIDTH - 2 - indent)]


def pair(key: str, value: object) -> str:
    return f"{key}: {flow(value)}"


def flow(value: object) -> str:
    """YAML on one line, which reads back as the same value; what isn't printable is escaped."""
    text = _dumped(value, allow_unicode=True)
    return text if text.isprintable() else _dumped(value, allow_unicode=False)


def _dumped(value: object, *, allow_unicode: bool) -> str:
    text: str = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, width=float("inf"), allow_unicode=allow_unicode
    )
    return text.removesuffix("\n").removesuffix("...").removesuffix("\n")


def given(part: Struct) -> dict[str, Any]:
    """A part of the recipe without what has its default, the kind of an input in front."""
    told: dict[str, Any] = {}
    kind = part.__struct_config__.tag
    if kind:
        told["kind"] = kind
    for key in msgspec.structs.fields(part):
        value = getattr(part, key.name)
        default = key.default if key.default_factory is msgspec.NODEFAULT else key.default_factory()
        if value is not UNSET and (value != default or key.name in TOLD_ANYWAY):
            told[key.encode_name] = msgspec.to_builtins(value)
    return told
