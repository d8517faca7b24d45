"""What tuning varies of a recipe."""

from __future__ import annotations

from msgspec import UNSET, Struct
from msgspec.structs import replace

from handlers.cores import cores, threads
from handlers.recipe import Recipe


class Setting(Struct, frozen=True):
    """One way to serve a model; what else its recipe says stays."""

    workers: int
    threads: int
    """Of each worker."""
    batch: int
    """Items of a full batch."""
    delay: int
    """ms that a batch waits to fill."""
    runtime: str
    """As handler.runtime has it."""

    def __str__(self) -> str:
        return (
            f"{counted(self.workers, 'worker')} x {counted(self.threads, 'thread')}, "
            f"batches of {self.batch} within {self.delay} ms, {self.runtime}"
        )


def counted(count: int, noun: str) -> str:
    """ "1 worker", "2 workers"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def of(recipe: Recipe) -> Setting:
    """The recipe's own."""
    return Setting(
        recipe.workers,
        threads(recipe),
        recipe.batch_size,
        recipe.max_batch_delay,
        recipe.handler.runtime,
    )


def applied(recipe: Recipe, setting: Setting) -> Recipe:
    """The recipe with another setting; the number of threads stands there only if it follows from nothing."""
    if (setting.workers, setting.threads) != (recipe.workers, threads(recipe)):
        follows = setting.threads == max(1, cores() // setting.workers)
        handler = replace(recipe.handler, threads=UNSET if follows else setting.threads)
        recipe = replace(recipe, min_workers=setting.workers, max_workers=setting.workers, handler=handler)
    return replace(
        recipe,
        batch_size=setting.batch,
        max_batch_delay=setting.delay,
        handler=replace(recipe.handler, runtime=setting.runtime),
    )
