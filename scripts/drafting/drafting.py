"""The three ways to a model.py: all drafted, a published architecture as it is, or with other modules."""

from scripts.drafting.published import draft_changed, draft_known
from scripts.drafting.unpublished import draft

__all__ = ["draft", "draft_changed", "draft_known"]
