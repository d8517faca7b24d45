"""The wanted state: which models, which of their versions, with how many workers. Commands change it, the
supervisor makes it so. A small file with a revision, changed under a lock, replaced at once or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct, field

from scripts.places import Places, shown
from scripts.state import durable


class WantedVersion(Struct, frozen=True, omit_defaults=True):
    """One version of a model, from its archive model_store/NAME-VERSION.mar."""

    workers: int
    asked: int = 0
    """The revision in which it was last asked for: a version that failed is tried anew when it is newer."""
    leaving: bool = False
    """Whether it is to be drained and unregistered."""


class WantedCanary(Struct, frozen=True):
    """A version beside the default that answers a share of those who name none."""

    version: str
    percent: float
    """Above 0, below 100."""


class WantedMirror(Struct, frozen=True, omit_defaults=True):
    """A version that a `shadow` compares with the default, and where that command listens."""

    version: str
    percent: float
    """Of the default's requests that are copied to the socket; above 0, at most 100."""
    socket: str
    """In a folder whose lock the command holds as long as it lives (mirrors.alive)."""
    kept: bool = False
    """Whether the version stays when the command ends: it was wanted before."""


class WantedModel(Struct, frozen=True, omit_defaults=True):
    """An endpoint. Without versions it was unregistered, and stays so when `up` starts again."""

    default: str = ""
    versions: Mapping[str, WantedVersion] = field(default_factory=dict)
    previous: tuple[str, ...] = ()
    """Versions that were the default before, the latest first: where `rollback` goes."""
    paused: bool = False
    """Whether the last `up NAME...` left it out."""
    canary: WantedCanary | None = None
    mirror: WantedMirror | None = None

    def stays(self, version: str) -> bool:
        """Whether that version is wanted, and not on its way out."""
        return version in self.versions and not self.versions[version].leaving

    def sound(self) -> WantedModel:
        """The same without a canary or a mirror of what is the default, leaves, or isn't wanted at all."""
        canary, mirror = self.canary, self.mirror
        if canary is not None and (canary.version == self.default or not self.stays(canary.version)):
            canary = None
        if mirror is not None and (mirror.version == self.default or not self.stays(mirror.version)):
            mirror = None
        if canary is self.canary and mirror is self.mirror:
            return self
        return msgspec.structs.replace(self, canary=canary, mirror=mirror)


class Wanted(Struct, frozen=True):
    """The whole state, as it lies in the file."""

    revision: int = 0
    models: Mapping[str, WantedModel] = field(default_factory=dict)

    def serving(self) -> dict[str, WantedModel]:
        """The models that are to answer."""
        return {
            name: model
            for name, model in self.models.items()
            if not model.paused and not all(version.leaving for version in model.versions.values())
        }

    def model(self, name: str) -> WantedModel:
        """That model; one without versions if nobody ever asked for it."""
        return self.models.get(name, WantedModel())

    def without(self, name: str) -> Wanted:
        """The same as if nobody had ever asked for that model."""
        models = {other: model for other, model in self.models.items() if other != name}
        return msgspec.structs.replace(self, models=models)

    def having(self, name: str, model: WantedModel) -> Wanted:
        """The same with that model as given; its canary and its mirror only where their versions stay."""
        return msgspec.structs.replace(self, models={**self.models, name: model.sound()})


def path(places: Places) -> Path:
    return places.state / "wanted.json"


def copy(places: Places) -> Path:
    """A second copy of every revision, for the day when the first is damaged."""
    return places.state / "wanted.copy.json"


def read(places: Places) -> Wanted | None:
    """The state that was last asked for; from a damaged file, the copy's; None when there is neither."""
    return _read(path(places)) or _read(copy(places))


def load(places: Places) -> Wanted:
    """The same, or a state that asks for nothing. Raises OSError."""
    return read(places) or Wanted()


def mend(places: Places, known: Wanted | None = None) -> str:
    """Write a damaged or lost file anew, from the copy or what is `known`; what was done, "" if nothing.

    What can't be mended is kept aside.
    """
    if _read(path(places)) is not None:
        return ""
    lost = known is not None and known.revision > 0
    if not (lost or path(places).exists() or copy(places).exists()):
        return ""
    with durable.locked(places.state / "wanted.lock"):
        return _mend(places, known)


def _mend(places: Places, known: Wanted | None) -> str:
    """With the lock held."""
    if _read(path(places)) is not None:
        return ""
    whole = [state for state in (_read(copy(places)), known) if state is not None and state.revision]
    good = max(whole, key=lambda state: state.revision, default=None)
    if good is not None:
        _write(places, good)
        return f"{shown(path(places))} was damaged: back to revision {good.revision}, the last good one"
    damaged = [file for file in (path(places), copy(places)) if file.exists()]
    for file in damaged:
        file.replace(file.with_suffix(".damaged"))
    kept = " and ".join(shown(file.with_suffix(".damaged")) for file in damaged)
    return f"the wanted state was damaged beyond reading, and is kept as {kept}" if damaged else ""


def change(places: Places, edit: Callable[[Wanted], Wanted]) -> Wanted:
    """Apply `edit` to the state under the lock and write it with the next revision; what came of it.

    `edit` gets the state with the revision that its result will have. Nothing is written if it raises.
    """
    with durable.locked(places.state / "wanted.lock"):
        _mend(places, None)
        before = load(places)
        next_one = msgspec.structs.replace(before, revision=before.revision + 1)
        after = edit(next_one)
        if after.models == before.models:
            return before
        _write(places, after)
        return after


def _write(places: Places, state: Wanted) -> None:
    content = msgspec.json.format(msgspec.json.encode(state), indent=2) + b"\n"
    durable.replace(path(places), content)
    durable.replace(copy(places), content)


def _read(file: Path) -> Wanted | None:
    try:
        content = file.read_bytes()
        if {"revision", "models"} - msgspec.json.decode(content).keys():
            return None
        return msgspec.json.decode(content, type=Wanted)
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError, AttributeError):
        return None
