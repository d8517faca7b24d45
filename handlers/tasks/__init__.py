"""What an output means, one file each: `prepare` makes the tensor, `finish` makes the answer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from handlers.errors import BadRecipe
from handlers.folder_code import load_class
from handlers.recipe import Model
from handlers.tasks.base import Task
from handlers.tasks.classify import Classify
from handlers.tasks.regress import Regress
from handlers.tasks.tensor import Tensor

__all__ = ["Classify", "Regress", "Task", "Tensor", "open_task"]

BUILT_IN: Mapping[str, type[Task]] = {"classify": Classify, "regress": Regress, "tensor": Tensor}


def open_task(recipe: Model, folder: Path) -> Task:
    """The task that the recipe names, or the folder's own subclass of one; raises BadRecipe."""
    kind = BUILT_IN.get(recipe.task)
    if kind is None:
        kind = load_class(folder, recipe.task, "handler.task")
        if not issubclass(kind, Task):
            raise BadRecipe(
                f"handler.task is {recipe.task!r}; {kind.__name__} is no subclass of a task",
                hint="derive it from handlers.tasks.Classify, Regress, Tensor or Task",
            )
    return kind(recipe, folder)
