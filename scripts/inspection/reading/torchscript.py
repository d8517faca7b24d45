"""TorchScript: a zip whose data.pkl is the module with its attributes, beside the code that it runs."""

from __future__ import annotations

from typing import Any

from scripts.inspection.reading.content import Content
from scripts.inspection.reading.rebuilding import rebuild
from scripts.inspection.reading.records import Records
from scripts.inspection.reading.torch_zip import refuse_big_endian, unpickled

TYPED_LISTS = ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist")


def read_torchscript(records: Records) -> Content:
    """The root is the module as Foreign `__torch__...`, its attributes in `state`; see modules.module_state.

    Nothing is refused: torch.jit.load never imports Python. Raises Unreadable or BadPickle.
    """
    refuse_big_endian(records)
    pickled = unpickled(records, "data.pkl", lambda key: records.part(f"data/{key}"), _rebuild)
    return Content(pickled.value, pickled.names)


def _rebuild(name: str, args: tuple[Any, ...] | None) -> Any:
    """TorchScript marks lists and dicts with their types; the values are the first argument."""
    mark = name.removeprefix("torch.jit._pickle.")
    if args and mark != name and (mark == "restore_type_tag" or mark in TYPED_LISTS):
        return args[0]
    return rebuild(name, args)
