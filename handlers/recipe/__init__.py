"""recipe.yaml -> frozen, typed structs. The first thing that is read, by every command and worker.

TorchServe reads the camelCase keys of the same file and ignores what it doesn't know without a word,
so both halves are checked here: an unknown key, a wrong type, a value out of range, a missing file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import yaml

from handlers.errors import BadRecipe
from handlers.recipe.explain import explain
from handlers.recipe.modules import own_modules
from handlers.recipe.rules import RESERVED, contradictions
from handlers.recipe.structs import (
    Architecture,
    ImageInput,
    Input,
    Model,
    Output,
    Precision,
    Recipe,
    RuntimeName,
    Sample,
    Source,
    TensorInput,
    Tolerance,
    is_array_file,
)

FILE_NAME = "recipe.yaml"


def load(folder: Path) -> Recipe:
    """The checked recipe of a folder (models/NAME, or an unpacked archive); raises BadRecipe."""
    path = folder / FILE_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadRecipe(f"{path}: not found", hint="every model folder needs one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadRecipe(f"{path}: can't be read ({error})", hint="save it as UTF-8 text") from None
    return parse(text, path)


def parse(text: str, path: Path) -> Recipe:
    """Decode and check the text of a recipe; `path` is only for the messages."""
    try:
        tree = yaml.load(text, Loader=UniqueKeyLoader)
    except Exception as error:  # for a tag that doesn't fit its value PyYAML raises KeyError and the like
        detail = " ".join(str(error if isinstance(error, yaml.YAMLError) else repr(error)).split())
        detail = detail.replace('in "<unicode string>", ', "at ")
        raise BadRecipe(f"{path}: not valid YAML: {detail}", hint="correct the syntax") from None
    if not isinstance(tree, dict):
        raise BadRecipe(f"{path}: holds no mapping", hint="it needs at least the key 'handler'")
    try:
        recipe = msgspec.convert(tree, Recipe)
        msgspec.json.encode(recipe)  # refuses halves of characters, which YAML's escapes can write
    except msgspec.ValidationError as error:
        raise BadRecipe(f"{path}: {explain(str(error), tree)}") from None
    except (RecursionError, OverflowError, UnicodeEncodeError) as error:
        raise BadRecipe(
            f"{path}: can't be read ({error})", hint="write it without anchors and escapes"
        ) from None
    for problem in contradictions(recipe):
        raise BadRecipe(f"{path}: {problem}")
    return recipe


def missing_files(recipe: Recipe, folder: Path) -> list[tuple[str, str]]:
    """(key, relative path) of the files that the recipe names and the folder lacks."""
    return [(key, name) for key, name in recipe.file_names() if not (folder / name).is_file()]


def not_found(folder: Path, key: str, name: str) -> BadRecipe:
    """The error for a file that the recipe names and the folder lacks."""
    return BadRecipe(
        f"{folder / FILE_NAME}: {key} is {name!r}; the file isn't there", hint=f"put it into {folder}"
    )


def schema() -> dict[str, Any]:
    """JSON schema of recipe.yaml, for editors."""
    return msgspec.json.schema(Recipe)


class UniqueKeyLoader(yaml.SafeLoader):
    """YAML's safe loader, except that a key given twice is an error instead of the last winning."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = key_node.value
            if not isinstance(key_node, yaml.ScalarNode):
                continue  # no key of a recipe; the safe loader itself refuses it
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


__all__ = [
    "FILE_NAME",
    "RESERVED",
    "Architecture",
    "ImageInput",
    "Input",
    "Model",
    "Output",
    "Precision",
    "Recipe",
    "RuntimeName",
    "Sample",
    "Source",
    "TensorInput",
    "Tolerance",
    "UniqueKeyLoader",
    "is_array_file",
    "load",
    "missing_files",
    "not_found",
    "own_modules",
    "parse",
    "schema",
]
