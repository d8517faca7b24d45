"""Classes and functions from a Python file in the model's own folder: `model.py:SimpleCNN`."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType, ModuleType

from handlers.errors import BadRecipe


def load_class(folder: Path, spec: str, key: str) -> type:
    """The class that `spec` ("FILE.py:CLASS") names; `key` is the recipe's key, for the message.

    Raises BadRecipe when the file can't be imported or has no such class.
    """
    found, module = _named(folder, spec, key)
    if not isinstance(found, type):
        raise _absent(
            folder, spec, key, "class", [name for name, one in vars(module).items() if isinstance(one, type)]
        )
    return found


def load_function(folder: Path, spec: str, key: str) -> Callable[..., object]:
    """The function that `spec` ("FILE.py:FUNCTION") names; raises BadRecipe as load_class does."""
    found, module = _named(folder, spec, key)
    if not callable(found):
        functions = [name for name, one in vars(module).items() if isinstance(one, FunctionType)]
        raise _absent(folder, spec, key, "function", functions)
    return found


def _absent(folder: Path, spec: str, key: str, what: str, defined: list[str]) -> BadRecipe:
    file_name, _, name = spec.partition(":")
    return BadRecipe(
        f"{key} is {spec!r}; {(folder / file_name).resolve()} defines no {what} {name}",
        hint=f"it defines {', '.join(defined) or 'none'}",
    )


def _named(folder: Path, spec: str, key: str) -> tuple[object, ModuleType]:
    """What the spec names (None if nothing), and the module that was imported for it."""
    file_name, _, name = spec.partition(":")
    path = (folder / file_name).resolve()
    if path.suffix != ".py" or not path.is_file():
        raise BadRecipe(f"{key} is {spec!r}; {path} is not there", hint="add the file or correct the name")
    module_name = _module_name(path)
    module_spec = importlib.util.spec_from_file_location(module_name, path)
    assert module_spec is not None  # as the suffix is Python's
    assert module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    with _siblings_importable(path.parent):
        sys.modules[module_name] = module  # dataclasses and pickling look their module up there
        try:
            module_spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:  # a script's sys.exit() mustn't end the worker
            del sys.modules[module_name]
            raise BadRecipe(
                f"{key}: importing {path} raised {type(error).__name__}: {error}",
                hint=_remedy(error, path),
            ) from error
    return getattr(module, name, None), module


def _module_name(path: Path) -> str:
    """An identifier, as TorchScript wants it, which follows the content alone, wherever the folder lies.

    What is built from a network may hold its class's name, and has to be the same bytes everywhere.
    """
    digest = hashlib.sha256(path.name.encode() + b"\0" + path.read_bytes())
    return f"pthserve_folder_{digest.hexdigest()[:16]}"


def _remedy(error: BaseException, path: Path) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"copy {error.name}.py beside {path.name}, or install the package into this environment"
    return "the file must be importable by itself"


@contextmanager
def _siblings_importable(folder: Path) -> Iterator[None]:
    """`import layers` finds folder/layers.py, and the next model's `import layers` finds its own."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            ours = name.partition(".")[0] == "handlers"  # in an archive they lie in the same folder
            if not ours and folder in Path(_place(sys.modules[name])).parents:
                del sys.modules[name]


def _place(module: ModuleType) -> str:
    """Where a module lies: its file, or for a package without one its first folder."""
    return getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", [])), "/")
