"""How the network is rebuilt: TorchScript itself, the owner's code, a published architecture, a draft."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import UNSET, Struct
from msgspec.structs import replace

from handlers.errors import listed
from handlers.mismatch import describe
from handlers.recipe import Architecture
from scripts.architectures.match import FITTING, Match, part, rivals
from scripts.architectures.unknown import located, of_inputs_and_outputs
from scripts.drafting import drafting
from scripts.drafting.draft import Draft
from scripts.errors import CommandError
from scripts.inspection.opened import Opened
from scripts.inspection.weights import Weights
from scripts.recipes import own_code
from scripts.recipes.asked import Asked
from scripts.recipes.decided import Network


class Found(Struct, frozen=True):
    """A network, and where it is known from: a published architecture, or a draft, or neither."""

    network: Network
    match: Match | None = None
    draft: Draft | None = None


def decide(asked: Asked, opened: Opened, weights: Weights, matches: Sequence[Match]) -> Found:
    """Raises CommandError for a tie, and for what is recognised and can't be served yet."""
    if asked.own_code:
        return Found(own_code.decide(asked))
    if opened.format == "TorchScript":
        return Found(Network("TorchScript, which brings its own architecture"))
    match = _chosen(asked, matches)
    if match is None:
        return _drafted(asked, weights, matches)
    if not match.servable:
        raise CommandError(
            f"the weights are those of {named(match)} ({match.family}): recognised, not yet servable",
            hint="only classification is served so far; --from-model takes your own code that gives a tensor",
        )
    if match.fit == "whole" and match.library == "torchvision":
        return Found(_published(match), match)
    draft = (
        drafting.draft_known(match) if match.fit == "whole" else drafting.draft_changed(match, weights.state)
    )
    return Found(_from_draft(draft, match), match, draft)


def named(match: Match) -> str:
    """A match in words: "torchvision's resnet50 with num_classes 37, conv1 and fc of its own"."""
    if match.fit == "part":
        return located(match)
    args = ", ".join(f"{key} {value}" for key, value in match.args.items())
    changed = f"{' and '.join(match.changed)} of its own" if match.changed else ""
    details = ", ".join(filter(None, [args, changed]))
    return f"{match.library}'s {match.builder}" + (f" with {details}" if details else "")


def _chosen(asked: Asked, matches: Sequence[Match]) -> Match | None:
    """The one that fits best, or the one that was asked for; None when none fits."""
    if asked.architecture:
        return _asked_for(asked.architecture, matches)
    ties = rivals(matches)
    if len(ties) > 1:
        raise CommandError(
            f"the weights fit {listed(map(named, ties), 6)} alike: nothing in the shapes tells them apart",
            hint=f"say which it was: --architecture {ties[0].builder}",
        )
    return ties[0] if ties else None


def _asked_for(builder: str, matches: Sequence[Match]) -> Match:
    for match in matches:
        if match.builder == builder and match.fit in FITTING:
            return match
    near = next((match for match in matches if match.builder == builder), None)
    if near is not None:
        raise CommandError(
            f"the weights don't fit {builder}: {describe(near.difference)}", hint="leave out --architecture"
        )
    close = listed((match.builder for match in matches), 5)
    raise CommandError(
        f"--architecture is {builder!r}, which the weights don't resemble",
        hint=f"they come close to {close}" if close else "leave it out, and a model.py is drafted",
    )


def _published(match: Match) -> Network:
    return Network(
        named(match),
        Architecture(torchvision=match.builder, args=match.args),
        strip_prefix=match.prefix,
        allow_unexpected=_outside(match),
        unknown=_of_architecture(match, match.unknown),
        outputs=match.args.get("num_classes"),
    )


def _of_architecture(match: Match, clauses: Sequence[str]) -> tuple[str, ...]:
    """Without what the recipe's input and output say themselves."""
    elsewhere = set(of_inputs_and_outputs(match))
    return tuple(clause for clause in clauses if clause not in elsewhere)


def as_published(found: Found, args: Mapping[str, Any]) -> Found:
    """The same, when the file is the very one that was published: its arguments, and nothing unknown."""
    architecture = found.network.architecture
    if architecture is not UNSET:
        architecture = replace(architecture, args={**architecture.args, **args})
    return replace(found, network=replace(found.network, architecture=architecture, unknown=()))


def _outside(match: Match) -> tuple[str, ...]:
    """Patterns for what lies beside the prefix: a loss's weights, a metric's state."""
    return tuple(sorted({f"{name.partition('.')[0]}.*" if "." in name else name for name in match.left_out}))


def _drafted(asked: Asked, weights: Weights, matches: Sequence[Match]) -> Found:
    draft = drafting.draft_own(weights.state, matches, asked.weights.name)
    inner = part(matches)
    if inner is not None:
        network = replace(_from_draft(draft, inner), strip_prefix="", drafted=True)
        return Found(network, inner, draft)
    same_order = [named(match) for match in matches if match.fit == "order"]
    told = [f"the shapes are, in order, those of {name}, under other names" for name in same_order[:3]]
    network = _from_draft(draft, None)
    network = replace(
        network,
        summary="an architecture that isn't published",
        unknown=(*told, *network.unknown),
        drafted=True,
    )
    return Found(network, draft=draft)


def _from_draft(draft: Draft, match: Match | None) -> Network:
    spec = f"model.py:{draft.name}"
    is_class = draft.name[:1].isupper()
    unknown = _of_architecture(match, draft.unknown) if match else draft.unknown
    return Network(
        named(match) if match else "",
        Architecture(class_=spec, args=draft.args)
        if is_class
        else Architecture(factory=spec, args=draft.args),
        {"model.py": draft.source.encode()},
        strip_prefix=match.prefix if match else "",
        allow_unexpected=_outside(match) if match else (),
        unknown=unknown,
        drafted=draft.forward != "known" or bool(match and match.changed and unknown),
        outputs=draft.outputs,
    )
