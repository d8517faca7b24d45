"""Imports run one way: CONTRIBUTING.md's table, held against every module of handlers/ and scripts/."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

LEVELS = (
    {"errors", "word"},
    {
        "answers",
        "faults",
        "frames",
        "limit",
        "recipe",
        "failure",
        "folder_code",
        "inert",
        "meta",
        "mismatch",
        "processor",
        "seal",
    },
    {"cores", "pickled", "pictures", "signature", "worker"},
    {"execution"},
    {"noncheckpoint"},
    {"wire", "checkpoint", "images"},
    {"network"},
    {"runtimes", "tasks"},
    {"closeness"},
    {"golden", "blame", "batch"},
    {"handler", "metering"},
    {"capacity", "outline"},
    {"serve"},
)
"""The table of CONTRIBUTING.md, with the words that it leaves out where they belong. A module may import
those on the lines above its own, and the rest of its own package."""

FOREIGN = {"scripts", "ts"}
"""What handlers/ never imports: operations, and TorchServe, whose context is duck-typed."""

LEVEL = {word: level for level, words in enumerate(LEVELS) for word in words}


def module_name(path: Path, root: Path) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def modules(root: Path, package: str) -> dict[str, Path]:
    """Every Python module below a package, by its dotted name."""
    return {module_name(path, root): path for path in sorted((root / package).rglob("*.py"))}


def imports(path: Path, name: str) -> Iterator[str]:
    """Dotted names that a module imports, at any depth; of `from a import b` both a and a.b."""
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1]
            source = ".".join([*(parents if node.level else []), *([node.module] if node.module else [])])
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield node.args[0].value


def graph(root: Path, package: str) -> dict[str, set[str]]:
    """Module -> the modules of the same package that it imports, each the innermost there is."""
    known = modules(root, package)
    found: dict[str, set[str]] = {}
    for name, path in known.items():
        named = {target for target in imports(path, name) if target in known}
        # `from handlers import wire` needs of handlers/__init__.py nothing but its being there
        outer = {target for target in named if any(other.startswith(f"{target}.") for other in named)}
        found[name] = named - outer if outer else named
    return found


def breaches(root: Path) -> list[str]:
    """Imports of handlers/ that go up, sideways, or out, as sentences."""
    told = []
    known = modules(root, "handlers")
    for name, path in known.items():
        word = name.split(".")[1] if "." in name else ""
        for target in sorted(set(imports(path, name))):
            if target.split(".")[0] in FOREIGN:
                told.append(f"{name} imports {target}")
            other = target.split(".")[1] if target.startswith("handlers.") else word
            if other != word and LEVEL.get(other, len(LEVELS)) >= LEVEL.get(word, -1):
                told.append(f"{name} imports {target}")
    return told


def test_every_module_of_handlers_stands_in_the_table() -> None:
    words = {name.split(".")[1] for name in modules(ROOT, "handlers") if "." in name}
    assert words == set(LEVEL)


def test_handlers_imports_run_one_way_and_never_out() -> None:
    assert breaches(ROOT) == []


@pytest.mark.parametrize("package", ["handlers", "scripts"])
def test_no_imports_run_in_a_circle(package: str) -> None:
    TopologicalSorter(graph(ROOT, package)).prepare()


def test_operations_import_handlers_by_words_of_the_table() -> None:
    for name, path in modules(ROOT, "scripts").items():
        words = {target.split(".")[1] for target in imports(path, name) if target.startswith("handlers.")}
        assert words <= set(LEVEL), name


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("errors.py", "from handlers.recipe import load"),
        ("recipe/rules.py", "from handlers import wire"),
        ("checkpoint.py", "from handlers.wire import Row"),
        ("tasks/base.py", "import handlers.runtimes.eager"),
        ("tasks/base.py", "from ..golden import replay"),
        ("golden.py", "def later():\n    from handlers import handler"),
        ("serve.py", "import scripts.cli"),
        ("serve.py", "def later():\n    import ts.context"),
        ("serve.py", "from ts import metrics"),
        ("serve.py", "import importlib\nimportlib.import_module('ts.metrics')"),
        ("network.py", "from handlers.unheard_of import word"),
    ],
)
def test_a_breach_is_found_however_it_is_written(tmp_path: Path, path: str, source: str) -> None:
    module = tmp_path / "handlers" / path
    module.parent.mkdir(parents=True)
    module.write_text(source)
    assert breaches(tmp_path)


def test_what_the_table_allows_is_no_breach(tmp_path: Path) -> None:
    package = tmp_path / "handlers" / "tasks"
    package.mkdir(parents=True)
    (package / "base.py").write_text("from handlers import images\nfrom handlers.wire.types import Row")
    (package / "__init__.py").write_text(
        "from handlers.tasks.base import Task\nfrom . import base\nimport torch"
    )
    assert breaches(tmp_path) == []
    assert graph(tmp_path, "handlers")["handlers.tasks"] == {"handlers.tasks.base"}


def test_a_circle_between_modules_of_one_package_is_found(tmp_path: Path) -> None:
    package = tmp_path / "handlers" / "wire"
    package.mkdir(parents=True)
    (package / "one.py").write_text("from handlers.wire import two")
    (package / "two.py").write_text("from handlers.wire.one import name")
    with pytest.raises(ValueError, match="cycle"):
        TopologicalSorter(graph(tmp_path, "handlers")).prepare()
