"""What all that are measured side by side have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod

from scripts.benchmarking import memory
from scripts.benchmarking.figures import Round


class Contestant(ABC):
    """Asked by `load`; what it has started ends with the stack that it was given."""

    name: str
    what: str
    """In a line, for the report."""

    @abstractmethod
    def load(self, connections: int, seconds: float) -> Round:
        """One round; raises CommandError when it can't be done."""

    @abstractmethod
    def pids(self) -> list[int]:
        """Its processes."""

    def memory(self) -> int:
        """PSS of its processes in bytes."""
        return memory.pss(self.pids())
