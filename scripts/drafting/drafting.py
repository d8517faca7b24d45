"""The ways to a model.py: a published architecture as it is, with other modules, as a part, or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from scripts.architectures.match import Match, part
from scripts.drafting.around import draft_around
from scripts.drafting.draft import Draft
from scripts.drafting.published import draft_changed, draft_known
from scripts.drafting.unpublished import draft

__all__ = ["draft", "draft_around", "draft_changed", "draft_known", "draft_own"]


def draft_own(
    state: Mapping[str, torch.Tensor], matches: Sequence[Match], file: str = "the checkpoint"
) -> Draft:
    """A network that isn't published: around one that is, if it holds one. Raises BadCheckpoint."""
    inner = part(matches)
    return draft(state, file) if inner is None else draft_around(inner, state, file)
