"""Content: what a reader of one format finds."""

from __future__ import annotations

from msgspec import Struct

from handlers import pickled
from handlers.errors import Refusal
from handlers.inert import Pickled


class Unreadable(Refusal):
    """The file is damaged, hostile or of a kind that can't be read here; the path is told further out."""

    code = "bad_checkpoint"


class Content(Struct, frozen=True):
    """As in Opened, of which it becomes the larger part."""

    root: object
    imports: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    metadata: dict[str, str] = {}


def of_pickles(root: object, *pickles: Pickled) -> Content:
    """What torch.load reads by unpickling."""
    imports = tuple(dict.fromkeys(name for one in pickles for name in one.names))
    notes = dict.fromkeys(note for one in pickles for note in pickled.obstacles(one))
    return Content(root, imports, tuple(pickled.refused(imports)), tuple(notes))
