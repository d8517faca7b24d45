"""Which architecture the weights belong to: a published one, or what would be drafted for them."""

from __future__ import annotations

from msgspec import Struct

from handlers.errors import BadCheckpoint
from scripts.architectures import match
from scripts.architectures.identify import identify
from scripts.architectures.match import Match
from scripts.drafting.draft import Draft
from scripts.drafting.drafting import draft_own
from scripts.inspection.weights import Weights


class Drafted(Struct, frozen=True):
    """The model.py that `init` would draft, without its text."""

    forward: str
    """known, drafted, or missing: as scripts.drafting.draft.Draft says."""
    unknown: tuple[str, ...]
    input_shape: tuple[int, ...] | None
    channels: int | None
    outputs: int | None


class Architecture(Struct, frozen=True):
    """What names and shapes tell."""

    matches: tuple[Match, ...]
    """The best first; those that tie stand beside each other."""
    drafted: Drafted | None = None
    """Where none of them fits."""
    undraftable: str = ""
    """Why nothing can be drafted either."""

    @property
    def best(self) -> tuple[Match, ...]:
        """The match that fits, with all that tie with it; none: no published architecture does."""
        return match.best(self.matches)

    @property
    def rivals(self) -> tuple[Match, ...]:
        """Those of `best` that its owner has to choose between."""
        return match.rivals(self.matches)


def architecture(weights: Weights) -> Architecture:
    """Of one state dict; the first time, the table of published architectures is built."""
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.state.items()}
    found = Architecture(tuple(identify(shapes)))
    if found.best:
        return found
    try:
        return Architecture(found.matches, _without_text(draft_own(weights.state, found.matches)))
    except BadCheckpoint as refused:
        return Architecture(found.matches, undraftable=str(refused))


def _without_text(one: Draft) -> Drafted:
    return Drafted(one.forward, one.unknown, one.input_shape, one.channels, one.outputs)
