"""Everything that a new recipe says, decided part by part from the checkpoint and the command line."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from handlers import seal
from handlers.errors import BadCheckpoint
from scripts.architectures.identify import identify
from scripts.architectures.preprocessing import Published, drafted_input, published_by_hash
from scripts.drafting.draft import Draft
from scripts.drafting.drafting import draft
from scripts.errors import CommandError
from scripts.inspection.kinds import kind
from scripts.inspection.opened import Opened
from scripts.inspection.printable import printable
from scripts.inspection.weights import Extra, Weights, choices, extras
from scripts.places import shown
from scripts.recipes import files, meaning, network, preparation
from scripts.recipes.asked import Asked
from scripts.recipes.decided import Preparation
from scripts.recipes.network import Found
from scripts.recipes.sizing import sizing
from scripts.recipes.text import Drafted


class Decided(Struct, frozen=True):
    """A recipe, and the files beside it by their relative paths."""

    drafted: Drafted
    texts: dict[str, bytes]
    copies: dict[Path, str]


def chosen(opened: Opened, key: str | None) -> Weights:
    """The weights under `key`, or the only ones; raises CommandError where nothing tells which."""
    found = choices(opened)
    named = [one for one in found if key in (None, one.key)]
    keys = ", ".join(printable(one.key) for one in found if one.key is not None)
    where = shown(opened.path)
    if not named:
        under = f" under {key!r}" if found else ""
        raise CommandError(
            f"{where} holds no weights{under}",
            hint=f"--key may be one of: {keys}" if keys else "scripts/pthserve inspect tells what it holds",
        )
    if len(named) > 1:
        raise CommandError(
            f"{where} holds weights more than once, under {keys}", hint="give --key for the one you evaluated"
        )
    return named[0]


def decide(name: str, opened: Opened, weights: Weights, asked: Asked) -> Decided:
    """Raises Refusal when a part can't be decided, or isn't servable."""
    shapes = {key: tuple(tensor.shape) for key, tensor in weights.state.items()}
    published = not asked.own_code and opened.format != "TorchScript"
    found = network.decide(asked, opened, weights, identify(shapes) if published else [])
    beside = extras(opened, weights)
    exactly = published_by_hash(found.match, seal.sha256(opened.path)) if found.match else None
    if exactly:
        found = network.as_published(found, exactly.args)
    hints = found.draft or _hints(weights)
    outputs = found.network.outputs or (hints.outputs if hints else None)
    read = meaning.decide(
        asked,
        outputs,
        _labels(exactly, beside),
        classifier=found.match is not None and (found.match.fit != "part" or outputs is not None),
        maps=outputs is None and found.draft is not None,
    )
    if exactly and not asked.task:
        read = replace(read, unknown=())  # published with its labels
    copies = files.sample_names(asked)
    drafted = Drafted(
        name=name,
        origin=f"{_origin(asked)}, {kind(opened, weights, beside)}: {found.network.summary}.",
        weights=files.weights_name(asked, opened),
        weights_key=weights.key if opened.loadable else None,
        network=found.network,
        preparation=_preparation(asked, found, exactly, hints),
        meaning=read,
        samples=tuple(files.samples(asked, copies)),
        sizing=sizing(),
    )
    labels = {meaning.LABELS: meaning.text(read.labels).encode()} if read.labels else {}
    return Decided(drafted, {**found.network.files, **labels}, copies)


def _origin(asked: Asked) -> str:
    return f"Drafted by `scripts/pthserve init` from {asked.weights.name}"


def _labels(exactly: Published | None, beside: Sequence[Extra]) -> tuple[str, ...]:
    """Those of the published weights, else the checkpoint's own."""
    own = next((extra.labels for extra in beside if extra.labels), ())
    return exactly.categories if exactly else own


def _hints(weights: Weights) -> Draft | None:
    """What the layers say of inputs and outputs, where the architecture is known from elsewhere."""
    with contextlib.suppress(BadCheckpoint):
        return draft(weights.state)
    return None


def _preparation(asked: Asked, found: Found, exactly: Published | None, hints: Draft | None) -> Preparation:
    if asked.input:
        return preparation.asked(asked.input)
    if exactly and exactly.input:
        return Preparation(exactly.input, assumed=False)
    if found.match:
        return drafted_input(found.match)
    return preparation.from_shapes(
        hints.channels if hints else None, hints.input_shape if hints else None, asked.samples
    )
