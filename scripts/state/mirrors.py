"""Mirrors in the wanted state: a command that compares is one of them, and may die without a word."""

from __future__ import annotations

from pathlib import Path

import msgspec

from scripts.processes.scratch import OWNER
from scripts.state import durable
from scripts.state.wanted import Wanted, WantedMirror, WantedModel


def alive(mirror: WantedMirror) -> bool:
    """Whether the command that listens there lives still."""
    try:
        return durable.held(Path(mirror.socket).with_name(OWNER))
    except OSError:
        return False


def living(state: Wanted) -> Wanted:
    """The state without the mirrors of the dead, nor the versions that only they had asked for."""
    dead = [name for name, one in state.models.items() if one.mirror is not None and not alive(one.mirror)]
    for name in dead:
        state = state.having(name, ended(state.model(name)))
    return state


def ended(model: WantedModel, *, but: str = "") -> WantedModel:
    """The model without its mirror, nor the mirror's version unless it is wanted for something else.

    `but`: a version that stays in any case.
    """
    mirror = model.mirror
    if mirror is None:
        return model
    canary = model.canary.version if model.canary is not None else ""
    leaves = not mirror.kept and mirror.version not in (model.default, canary, but)
    versions = {
        number: one for number, one in model.versions.items() if not (leaves and number == mirror.version)
    }
    return msgspec.structs.replace(model, versions=versions, mirror=None)


def keeping(state: Wanted, name: str, version: str) -> Wanted:
    """The state in which that version is wanted for itself: a mirror of it that ends leaves it there."""
    model = state.model(name)
    mirror = model.mirror
    if mirror is None or mirror.version != version:
        return state
    return state.having(
        name, msgspec.structs.replace(model, mirror=msgspec.structs.replace(mirror, kept=True))
    )


def restored(before: WantedModel, now: WantedModel) -> WantedModel:
    """The model as it was before, but for a mirror that isn't there now.

    Who listened there has ended, or is about to: it would never be taken away.
    """
    there = now.mirror.socket if now.mirror is not None else ""
    return before if before.mirror is None or before.mirror.socket == there else ended(before)


def without(state: Wanted, name: str, socket: str) -> Wanted:
    """The state without the mirror to that socket; as it is, where there is another or none."""
    model = state.model(name)
    if model.mirror is None or model.mirror.socket != socket:
        return state
    return state.having(name, ended(model))
