"""The owner's own code for the architecture: imported where it lies, and copied beside the recipe."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from torch import nn

from handlers.recipe import Architecture
from scripts.errors import CommandError
from scripts.places import shown
from scripts.recipes.asked import Asked
from scripts.recipes.decided import Network

USAGE = "--from-model takes MODULE:NAME (mynets.cat:CatNet) or FILE.py:NAME"

ENTRY = '''"""Where the recipe finds {name}: in a package, or beside other modules, it keeps its own place."""

from {module} import {name} as {name}
'''


def decide(asked: Asked) -> Network:
    """The architecture that `--from-model` names, with the source files that it needs.

    Raises CommandError when it can't be imported, or doesn't give a network with these arguments.
    """
    spec, _, name = asked.own_code.rpartition(":")
    if not spec or not name.isidentifier():
        raise CommandError(f"--from-model is {asked.own_code!r}", hint=USAGE)
    folder, module_name = _place(spec)
    with _importable(folder) as own:
        module = _imported(module_name, asked.own_code)
        made = getattr(module, name, None)
        _check(made, asked)
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in own}
    where = _entry(module, module_name, folder, name, files)
    spec = f"{where}:{name}"
    architecture = (
        Architecture(class_=spec, args=dict(asked.args))
        if isinstance(made, type)
        else Architecture(factory=spec, args=dict(asked.args))
    )
    return Network(f"your own {asked.own_code}", architecture, files)


def _place(spec: str) -> tuple[Path, str]:
    """(folder that is the root of imports, dotted name) of FILE.py or MODULE."""
    if not spec.endswith(".py"):
        return Path.cwd(), spec
    path = Path(spec).resolve()
    if not path.is_file():
        raise CommandError(f"--from-model: {shown(path)} isn't there", hint=USAGE)
    if path.stem in sys.modules or not path.stem.isidentifier():
        raise CommandError(
            f"--from-model: {shown(path)} can't be imported under the name {path.stem!r}",
            hint="rename the file: the name is taken by another module, or is none for one",
        )
    return path.parent, path.stem


@contextmanager
def _importable(folder: Path) -> Iterator[list[Path]]:
    """Inside, modules are found below the folder; the list then holds the files of those that were, and
    their names are free again."""
    before = set(sys.modules)
    own: list[Path] = []
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield own
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            path = Path(getattr(sys.modules[name], "__file__", None) or "/").resolve()
            if _is_own(path, folder):
                own.append(path)
                del sys.modules[name]


def _imported(name: str, asked: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # the owner's code, which raises whatever it likes
        raise CommandError(
            f"--from-model {asked}: importing {name} raised {type(error).__name__}: {error}",
            hint="it must be importable from this folder, and by itself",
        ) from error


def _check(made: object, asked: Asked) -> None:
    """Build it once; raises CommandError unless that gives a network."""
    if not callable(made):
        raise CommandError(f"--from-model {asked.own_code}: there is no such class or function", hint=USAGE)
    try:
        built = made(**asked.args)
    except Exception as error:
        raise CommandError(
            f"--from-model {asked.own_code}: building it raised {type(error).__name__}: {error}",
            hint="give its arguments: --arg num_classes=37",
        ) from error
    if not isinstance(built, nn.Module):
        raise CommandError(
            f"--from-model {asked.own_code} gave a {type(built).__name__}",
            hint="name what gives an nn.Module",
        )


def _is_own(path: Path, folder: Path) -> bool:
    """Whether it is source that lies below the folder; what is installed stays where it is."""
    installed = (Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "purelib", "platlib"))
    return (
        path.suffix == ".py" and folder in path.parents and not any(one in path.parents for one in installed)
    )


def _entry(module: ModuleType, module_name: str, folder: Path, name: str, files: dict[str, bytes]) -> str:
    """The file that the recipe names: the module's own at the top, else a model.py that imports it."""
    own = f"{module_name}.py"
    if own in files and not hasattr(module, "__path__"):
        return own
    if "model.py" in files:
        raise CommandError(
            f"--from-model: {shown(folder / 'model.py')} is in the way of the one that init writes",
            hint="name FILE.py:NAME of a file that stands by itself",
        )
    files["model.py"] = ENTRY.format(name=name, module=module_name).encode()
    return "model.py"
