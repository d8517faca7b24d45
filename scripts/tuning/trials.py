"""What a search needs: somewhere to try settings, and somebody who is told how far it has come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from scripts.benchmarking.figures import Round
from scripts.tuning.setting import Setting


class Asked(Protocol):
    """Settings that serve."""

    @property
    def settings(self) -> Sequence[Setting]:
        """Those that came up."""

    @property
    def problems(self) -> Mapping[Setting, str]:
        """Why the others didn't."""

    @property
    def seconds(self) -> float:
        """That their start took."""

    def load(self, setting: Setting, connections: int, seconds: float) -> Round: ...


class Trials(Protocol):
    """Where settings are brought up."""

    @property
    def at_once(self) -> int: ...

    def serving(self, settings: Sequence[Setting]) -> AbstractContextManager[Asked]: ...


class Watch(Protocol):
    """Who is told how far it has come."""

    def plan(self, loads: int) -> None:
        """So many more are to come."""

    def tell(self, text: str) -> None:
        """What is under way."""

    def step(self) -> None:
        """One of them is done."""
