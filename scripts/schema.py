"""schema: the JSON schema of recipe.yaml, made from the types that check it."""

from __future__ import annotations

import msgspec

from handlers import recipe


def schema() -> str:
    """Formatted, the same text every time."""
    encoded = msgspec.json.encode(recipe.schema(), order="deterministic")
    return msgspec.json.format(encoded, indent=2).decode() + "\n"
