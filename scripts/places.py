"""Where things lie: the tree, the recipes, the archives, the configuration, the logs."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

ROOT = Path(__file__).resolve().parent.parent


class Places(Struct, frozen=True):
    """Each can be given on the command line or by environment; the defaults are the repository's."""

    models: Path = ROOT / "models"
    store: Path = ROOT / "model_store"
    config: Path = ROOT / "config.properties"
    state: Path = ROOT / ".pthserve"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def supervisor_lock(self) -> Path:
        """Held by the supervisor as long as it lives."""
        return self.state / "supervisor.lock"


def shown(path: Path) -> str:
    """The path as the user would type it from where they are."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
