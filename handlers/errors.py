"""What can be refused, drawn on the way of a request and of a model.

    request   wire.read -> task.prepare -> runtime -> task.finish -> wire.write
                 |             |              |            |
              BadInput      BadInput    ForwardFailed   BadInput       (4xx the caller's, 5xx ours)
                                         OutOfMemory

    model     recipe -> checkpoint -> network -> runtime -> golden -> READY
                 |          |            |          |          |
             BadRecipe BadCheckpoint BadCheckpoint  |    SampleMismatch
             BadArchive                        ForwardFailed

None derives from RuntimeError: TorchServe leaves a model whose `initialize` raised RuntimeError or
MemoryError registered without workers, and anything else it cleans up.
"""

from __future__ import annotations

from collections.abc import Iterable


class Refusal(Exception):
    """Base of all expected errors: what was wrong, and in `hint` what to change."""

    status = 500
    code = "internal"

    def __init__(
        self, message: str, *, hint: str = "", code: str | None = None, status: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code or type(self).code
        self.status = status or type(self).status

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


def listed(words: Iterable[str], most: int) -> str:
    """The first few, then a count: "a, b and 7 more"."""
    every = list(words)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more


class BadInput(Refusal):
    """One item, or a request as a whole, that the caller has to change."""

    status = 400
    code = "bad_input"


class ForwardFailed(Refusal):
    """The network itself raised, or returned what its task can't read."""

    status = 500
    code = "forward_failed"


class OutOfMemory(Refusal):
    """Memory ran out for this item alone: now, or always where it is larger than the device can hold."""

    status = 503
    code = "out_of_memory"


class BadRecipe(Refusal):
    """recipe.yaml, or a file that it names, is wrong."""

    code = "bad_recipe"


class BadCheckpoint(Refusal):
    """The checkpoint is unsafe, unreadable, or doesn't fit the architecture."""

    code = "bad_checkpoint"


class BadArchive(Refusal):
    """An archive's files aren't the ones that were packed."""

    code = "bad_archive"


class SampleMismatch(Refusal):
    """A sample's answer differs from the recorded one beyond its tolerance."""

    code = "sample_mismatch"
