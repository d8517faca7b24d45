"""Several settings of one model, as endpoints of one private `up`: asked in turn, the others are idle."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
from msgspec import Struct
from msgspec.structs import replace

from handlers import recipe
from handlers.cores import cores
from handlers.runtimes import decision
from handlers.runtimes.decision import Decision
from scripts import catalog
from scripts.benchmarking import loading, private
from scripts.benchmarking.figures import Round
from scripts.benchmarking.program import Program
from scripts.benchmarking.request import Sent
from scripts.benchmarking.target import Load, Target
from scripts.calling.inference import Inference
from scripts.catalog import Entry
from scripts.errors import CommandError
from scripts.optimising.standing import standing
from scripts.places import Places
from scripts.processes.children import Children
from scripts.state import observed
from scripts.state.observed import Observed
from scripts.tuning.editing import edited
from scripts.tuning.setting import Setting, of

UP_TIMEOUT = 600.0  # s; packing several on busy cores
WHOLE_TIMEOUT = 60.0  # s; from the first worker of a model to its last

MOST = 7
"""Settings at once."""

WORKER_BYTES = 400 << 20
"""Of memory that a worker takes beside the weights."""

WARM_UP = 0.5  # s


class Up(Struct, frozen=True):
    """The private `up` of a few settings."""

    settings: Sequence[Setting]
    """Those that came up."""
    problems: Mapping[Setting, str]
    """Why the others didn't."""
    seconds: float
    """From packing them until they served."""
    urls: Mapping[Setting, str]
    sent: Sent
    children: Children

    def load(self, setting: Setting, connections: int, seconds: float) -> Round:
        """One round; raises CommandError when the client fails."""
        target = Target(self.urls[setting], str(self.sent.file), self.sent.items)
        return loading.round_of(Load(target, connections, seconds, WARM_UP), self.children)


class Variants:
    """Copies of a model's folder with other settings."""

    def __init__(
        self, entry: Entry, places: Places, sent: Sent, scratch: Path, children: Children, seconds: float
    ) -> None:
        """`seconds` is what `optimise` may take for each runtime."""
        self._entry = entry
        self._seconds = seconds
        self._places = places
        self._sent = sent
        self._scratch = scratch
        self._children = children
        self._bases: dict[str, Path] = {}
        self._started = 0

    @property
    def decision(self) -> Decision | None:
        """What `optimise` finds for the recipe as it is; raises CommandError when it fails."""
        return decision.read(self._base(of(self._entry.recipe)))

    @property
    def at_once(self) -> int:
        """How many settings this machine's memory holds side by side, at least 2."""
        each = self._entry.weights.stat().st_size * 3 + WORKER_BYTES
        workers = max(cores(), self._entry.recipe.workers)
        return max(2, min(MOST, int(psutil.virtual_memory().available / 2 / (each * workers))))

    @contextmanager
    def serving(self, settings: Sequence[Setting]) -> Iterator[Up]:
        """All of them, until the block ends; raises CommandError when none comes up."""
        self._started += 1
        folder = self._scratch / f"up{self._started}"
        places = replace(private.places_in(folder, self._places), models=folder / "models")
        names, problems = {}, {}
        for index, setting in enumerate(settings):
            name = f"{self._entry.name[:90]}-{index}"
            try:
                _copy(self._base(setting), places.models / name, setting, name)
                names[setting] = name
            except CommandError as error:
                problems[setting] = str(error)
        if not names:
            raise CommandError(next(iter(problems.values()), "there is nothing to try"))
        with ExitStack() as stack:
            began = time.monotonic()
            seen, program = _up(places, list(names.values()), stack)
            up = {one: name for one, name in names.items() if _state(seen, name) == "whole"}
            problems |= {one: _why(program, name) for one, name in names.items() if one not in up}
            inference = Inference(seen.url)
            urls = {one: inference.endpoint(name) for one, name in up.items()}
            took = time.monotonic() - began
            yield Up(list(up), problems, took, urls, self._sent, self._children)
        shutil.rmtree(folder, ignore_errors=True)

    def _base(self, setting: Setting) -> Path:
        """A copy with the setting's runtime decided and built, once for each; raises CommandError."""
        if setting.runtime not in self._bases:
            models = self._scratch / f"base-{setting.runtime}"
            folder = models / self._entry.name
            own = of(self._entry.recipe)
            _copy(self._entry.folder, folder, replace(own, runtime=setting.runtime), self._entry.name)
            places = replace(private.places_in(self._scratch / "base", self._places), models=models)
            if standing(catalog.find(places, self._entry.name)) in ("none", "stale", "elsewhere"):
                self._decide(places)
            self._bases[setting.runtime] = folder
        return self._bases[setting.runtime]

    def _decide(self, places: Places) -> None:
        words = ["optimise", "--seconds", f"{self._seconds:.0f}", self._entry.name]
        try:
            private.run(places, self._children, *words)
        except CommandError as error:
            told = error.message.rpartition("✗ ")[2].partition("; see ")[0]
            raise CommandError(
                f"its runtime can't be decided here ({told})",
                hint=f"run `scripts/pthserve optimise {self._entry.name}` first, or give more --minutes",
            ) from None


def _copy(source: Path, target: Path, setting: Setting, name: str) -> None:
    """The folder under another name; weights are linked. Raises CommandError for a recipe of odd lines."""
    path = source / recipe.FILE_NAME
    weights = source / recipe.load(source).handler.weights

    def left_out(folder: str, names: list[str]) -> list[str]:
        return [one for one in names if one == "__pycache__" or Path(folder) / one == weights]

    shutil.copytree(source, target, ignore=left_out)
    (target / weights.relative_to(source)).symlink_to(weights.resolve())
    text = path.read_text(encoding="utf-8")
    (target / recipe.FILE_NAME).write_text(edited(text, path, setting, name), encoding="utf-8")


def _up(places: Places, names: Sequence[str], stack: ExitStack) -> tuple[Observed, Program]:
    """Started, each model whole or failed; raises CommandError when none is READY."""
    places.state.mkdir(parents=True, exist_ok=True)
    command = private.verb(places, "up", *names)
    program = stack.enter_context(Program("up", command, places.state / "up.txt"))
    program.wait(lambda: _serves(observed.load(places)), UP_TIMEOUT)
    deadline = time.monotonic() + WHOLE_TIMEOUT
    program.wait(lambda: _settled(places, names) or time.monotonic() > deadline, UP_TIMEOUT)
    seen = observed.load(places)
    if seen is None:
        raise CommandError(f"up has ended:\n{program.tail()}")
    return seen, program


def _serves(seen: Observed | None) -> bool:
    return seen is not None and seen.phase == "serving"


def _settled(places: Places, names: Sequence[str]) -> bool:
    seen = observed.load(places)
    return seen is not None and all(_state(seen, name) != "on its way" for name in names)


def _state(seen: Observed, name: str) -> str:
    """ "whole", "failed", or "on its way" """
    model = seen.models.get(name)
    versions = [] if model is None else list(model.versions.values())
    if any(version.whole for version in versions):
        return "whole"
    return "failed" if all(version.state == "failed" for version in versions) else "on its way"


def _why(program: Program, name: str) -> str:
    """What `up` said of the model."""
    lines = [line for line in program.tail(200).splitlines() if line.startswith(f"✗ {name}: ")]
    return lines[-1].partition(": ")[2] if lines else "its workers don't become READY"
