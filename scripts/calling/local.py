"""The way to an answer that needs no server: the handler on a recipe folder, in this process.

Apart from the other ways, because importing torch takes seconds that they needn't wait for.
"""

from __future__ import annotations

from pathlib import Path

from handlers.handler import Handler
from handlers.wire import Row
from scripts.calling import refused


class Local:
    """One request at a time."""

    def __init__(self, folder: Path) -> None:
        """Raises BadRecipe or BadCheckpoint."""
        self.handler = Handler.open(folder)

    def answer(self, body: bytes, request_id: str) -> bytes:
        (response,) = self.handler.predict([Row({"body": body}, request_id=request_id)])
        if response.status < 400:
            return response.body
        cause = response.errors[0] if response.errors else None
        raise refused.of_status(response.status, response.body) from cause
