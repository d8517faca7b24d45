"""What goes wrong in one turn of the supervisor's loop, and may not in the next."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from handlers.errors import Refusal
from scripts.serving.node import Say


class Troubles:
    """Each is said, once for as long as it stays so."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._told: dict[str, str] = {}

    @contextlib.contextmanager
    def survived(self, whose: str, unless: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """A refusal, or a full disk, ends what is inside and nothing else; said `unless` that explains it."""
        try:
            yield
        except (Refusal, OSError) as error:
            if self._told.get(whose) != str(error) and not unless():
                self._say(f"{whose}: {error}")
            self._told[whose] = str(error)
        else:
            self._told.pop(whose, None)

    def lasting(self, whose: str) -> bool:
        """Whether it went wrong the last time."""
        return whose in self._told
