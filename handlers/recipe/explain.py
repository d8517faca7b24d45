"""msgspec's validation error -> the key, the value as written, and what to write instead.

msgspec says: "Expected `int`, got `str` - at `$.batchSize`"; an owner wants the value and the remedy.
Both are looked up along the path: the value in the file, the requirement in the schema.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec

from handlers.recipe.structs import Recipe

Schema = dict[str, Any]

_PATH = re.compile(r" - at (`key` in )?`\$(.*)`$")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_NOUNS = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text (in quotes)",
    "boolean": "true or false",
    "object": "a mapping",
    "array": "a list",
}


def explain(message: str, tree: Any) -> str:
    """One line for the owner; `tree` is the parsed file that msgspec refused with `message`."""
    found = _PATH.search(message)
    path = found.group(2) if found else ""
    reason = message[: found.start()] if found else message
    where = path.lstrip(".") or "the file"
    unknown = re.match(r"Object contains unknown field `(.*)`", reason)
    if unknown:
        return _unknown_key(unknown.group(1), path)
    required = re.match(r"Object missing required field `(.*)`", reason)
    if required:
        return f"{where} lacks the key {required.group(1)!r}; add it"
    steps = [name or int(index) if name or index != "..." else 0 for name, index in _STEP.findall(path)]
    value = _value(tree, steps)
    if found and found.group(1):
        key = next((key for key in value if not isinstance(key, str)), None)
        return f"{where} has the key {_shown(key)}; must be {_NOUNS['string']}"
    return f"{where} is {_shown(value)}; must be {_wanted(_schema(steps))}"


def _unknown_key(key: str, path: str) -> str:
    where = f"{path.lstrip('.')}.{key}" if path else key
    known = {name for part in _definitions().values() for name in part.get("properties", {})}
    if key in known:
        return f"unknown key {where!r}; it belongs {_home(key)}"
    near = difflib.get_close_matches(key, sorted(known), n=1, cutoff=0.7)
    return f"unknown key {where!r}; " + (f"did you mean {near[0]!r}?" if near else "remove it")


_HOMES = {
    "Recipe": "at the top of the file",
    "Model": "under handler",
    "ImageInput": "under handler.input with kind: image",
    "TensorInput": "under handler.input with kind: tensor",
    "Output": "under handler.output",
    "Sample": "into an entry of handler.samples",
    "Architecture": "under handler.architecture",
    "Tolerance": "under the tolerance of a sample",
    "Source": "under handler.source",
}


def _home(key: str) -> str:
    parts = [name for name, part in _definitions().items() if key in part.get("properties", {})]
    return " or ".join(_HOMES[name] for name in _HOMES if name in parts)


def _value(tree: Any, steps: list[str | int]) -> Any:
    for step in steps:
        try:
            tree = tree[step]
        except (KeyError, IndexError, TypeError):
            return tree
    return tree


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python doesn't print whole numbers of more than 4300 digits
        return "a number too long to print"
    return text if len(text) <= 80 else f"{text[:77]}..."


@cache
def _definitions() -> dict[str, Schema]:
    definitions: dict[str, Schema] = msgspec.json.schema(Recipe)["$defs"]
    return definitions


def _schema(steps: list[str | int]) -> list[Schema]:
    """The schemas that a value at this path may satisfy, any one of them."""
    found = list(_alternatives({"$ref": "#/$defs/Recipe"}))
    for step in steps:
        if isinstance(step, int):
            inner = [option["items"] for option in found if isinstance(option.get("items"), dict)]
        else:
            inner = [option["properties"][step] for option in found if step in option.get("properties", {})]
        found = [option for schema in inner for option in _alternatives(schema)]
    return found


def _alternatives(schema: Schema) -> Iterator[Schema]:
    if "$ref" in schema:
        yield from _alternatives(_definitions()[schema["$ref"].rpartition("/")[2]])
    elif "anyOf" in schema:
        for option in schema["anyOf"]:
            yield from _alternatives(option)
    else:
        yield schema


def _wanted(options: list[Schema]) -> str:
    """The requirement in words, for example "a whole number of at least 1"."""
    return " or ".join(dict.fromkeys(map(_phrase, options))) or "something else"


def _phrase(schema: Schema) -> str:
    if "description" in schema and "pattern" in schema:
        return str(schema["description"])
    if "enum" in schema:
        return "one of " + ", ".join(map(repr, schema["enum"]))
    phrase = _NOUNS.get(schema.get("type", ""), "something else")
    if schema.get("type") == "array":
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        if most is not None:
            phrase += f" of {least}" if least == most else f" of {least} to {most}"
        elif least:
            phrase += f" of at least {least}"
        items = list(_alternatives(schema["items"])) if schema.get("items") else []
        scalars = [item for item in items if "properties" not in item]
        return f"{phrase}, each {_wanted(scalars)}" if scalars else phrase
    bounds = [f"{words} {schema[key]:g}" for key, words in _BOUNDS.items() if key in schema]
    return " ".join([phrase, " and ".join(bounds)]).rstrip()


_BOUNDS = {
    "minimum": "of at least",
    "exclusiveMinimum": "above",
    "maximum": "of at most",
    "exclusiveMaximum": "below",
}
