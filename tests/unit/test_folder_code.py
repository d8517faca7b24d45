"""A class from a Python file in the model's own folder."""

import sys
from pathlib import Path

import pytest

from handlers.errors import BadRecipe
from handlers.folder_code import load_class

KEY = "handler.architecture.class"


def write(folder: Path, **sources: str) -> Path:
    """A folder with these modules; `a__b` is module b of package a."""
    for name, source in sources.items():
        path = folder / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return folder


def refusal(folder: Path, spec: str = "model.py:Net") -> str:
    with pytest.raises(BadRecipe) as refused:
        load_class(folder, spec, KEY)
    return str(refused.value)


def test_the_class_of_the_file_is_given(tmp_path: Path) -> None:
    write(tmp_path, model="class Net:\n    size = 3")
    found = load_class(tmp_path, "model.py:Net", KEY)
    assert (found.__name__, found.size) == ("Net", 3)  # type: ignore[attr-defined]


def test_files_in_folders_below_are_found_with_their_siblings(tmp_path: Path) -> None:
    write(tmp_path / "src", model="from layers import size\nclass Net:\n    size = size", layers="size = 4")
    assert load_class(tmp_path, "src/model.py:Net", KEY).size == 4  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("statement", "sibling"),
    [
        ("import pthserve_test_layers as layers", "pthserve_test_layers"),
        ("import pthserve_test_blocks.layers as layers", "pthserve_test_blocks__layers"),
        ("from pthserve_test_blocks import layers", "pthserve_test_blocks__layers"),
    ],
    ids=["module", "package", "from-package"],
)
@pytest.mark.parametrize("with_init", [True, False])
def test_siblings_of_the_same_name_in_two_models_do_not_mix(
    tmp_path: Path, statement: str, sibling: str, with_init: bool
) -> None:
    sizes = []
    for size in (3, 5):
        folder = write(
            tmp_path / f"model{size}",
            model=f"{statement}\nclass Net:\n    size = layers.size",
            **{sibling: f"size = {size}"},
        )
        if with_init and "__" in sibling:
            (folder / "pthserve_test_blocks" / "__init__.py").touch()
        sizes.append(load_class(folder, "model.py:Net", KEY).size)  # type: ignore[attr-defined]
    assert sizes == [3, 5]
    assert not [name for name in sys.modules if name.startswith("pthserve_test_")]


def test_the_search_path_is_left_as_it_was(tmp_path: Path) -> None:
    before = list(sys.path)
    load_class(write(tmp_path, model="class Net: pass"), "model.py:Net", KEY)
    refusal(write(tmp_path, model="1 / 0"))
    assert sys.path == before


def test_classes_of_the_same_name_in_two_models_are_two(tmp_path: Path) -> None:
    one, two = (
        load_class(write(tmp_path / name, model="class Net: pass"), "model.py:Net", KEY) for name in "ab"
    )
    assert one is not two
    assert one.__module__ == two.__module__  # what is built of them is the same in any folder


def test_a_modules_name_follows_its_content_and_is_an_identifier(tmp_path: Path) -> None:
    sources = {"a": "class Net: pass", "b": "class Net: size = 3"}
    one, two = (
        load_class(write(tmp_path / name, model=source), "model.py:Net", KEY).__module__
        for name, source in sources.items()
    )
    assert one != two
    assert one.isidentifier()


def test_what_looks_its_module_up_can_be_defined(tmp_path: Path) -> None:
    source = """
from __future__ import annotations
from dataclasses import dataclass

@dataclass
class Net:
    size: int = 3
"""
    assert load_class(write(tmp_path, model=source), "model.py:Net", KEY)() is not None


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import no_such_package", "raised ModuleNotFoundError: No module named 'no_such_package'"),
        ("from layers import Missing", "raised ImportError: cannot import name 'Missing' from 'layers'"),
        ("def broken(:", "raised SyntaxError: invalid syntax"),
        ("1 / 0", "raised ZeroDivisionError: division by zero"),
        ("raise SystemExit(2)", "raised SystemExit: 2"),
    ],
)
def test_a_file_that_cannot_be_imported_is_refused_with_what_it_raised(
    tmp_path: Path, source: str, message: str
) -> None:
    before = set(sys.modules)
    told = refusal(write(tmp_path, model=source, layers=""))
    assert told.startswith(f"{KEY}: importing {tmp_path}/model.py ")
    assert message in told
    assert set(sys.modules) <= before


def test_a_missing_file_is_refused_by_its_path(tmp_path: Path) -> None:
    assert f"{KEY} is 'model.py:Net'; {tmp_path}/model.py is not there" in refusal(tmp_path)


def test_a_file_without_the_class_is_refused_with_those_it_has(tmp_path: Path) -> None:
    folder = write(tmp_path, model="class CNN: pass\nclass MLP: pass\ndef Net(): pass")
    assert "model.py defines no class Net; it defines CNN, MLP" in refusal(folder)
    assert "defines no class size; it defines none" in refusal(
        write(folder, model="size = 3"), "model.py:size"
    )
