"""Which version of each model answers callers who name none: the gateway's choice, and TorchServe's own."""

from __future__ import annotations

from collections.abc import Mapping

from scripts.serving.life import Life
from scripts.serving.torchserve import TorchServe
from scripts.state.wanted import WantedModel

Lives = Mapping[tuple[str, str], Life]


class Defaults:
    """`chosen` counts; TorchServe is told for those who ask it without our gateway."""

    def __init__(self, server: TorchServe) -> None:
        self._server = server
        self.chosen: dict[str, str] = {}
        self._told: dict[str, str] = {}

    def choose(self, serving: Mapping[str, WantedModel], lives: Lives) -> None:
        """The wanted one as soon as it is READY; until then whatever answers now keeps answering."""
        before, self.chosen = self.chosen, {}
        for name, model in serving.items():
            staying = [number for number, version in model.versions.items() if not version.leaving]
            asked = model.default if model.default in staying else staying[0]
            now = before.get(name, "")
            keeps = _answers(lives, name, now) and not _answers(lives, name, asked)
            self.chosen[name] = now if keeps else asked

    def tell(self, life: Life) -> None:
        """Where it is the default and READY. Raises CommandError."""
        is_default = life.state == "ready" and self.chosen.get(life.name) == life.version
        if is_default and self._told.get(life.name) != life.version:
            self._tell(life)

    def give_up(self, life: Life, lives: Lives) -> None:
        """TorchServe takes no default away while there are other versions. Raises CommandError."""
        self.forget(life.name)
        others = [one for one in lives.values() if one.name == life.name and one.registered]
        for other in sorted(others, key=lambda one: one.version != self.chosen.get(one.name)):
            if other is not life:
                self._tell(other)
                return

    def forget(self, name: str) -> None:
        """TorchServe may have another by now."""
        self._told.pop(name, None)

    def forget_all(self) -> None:
        self._told.clear()

    def _tell(self, life: Life) -> None:
        self._server.management.set_default(life.name, life.version)
        self._told[life.name] = life.version


def _answers(lives: Lives, name: str, version: str) -> bool:
    life = lives.get((name, version))
    return life is not None and life.state == "ready"
