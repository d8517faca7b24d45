"""Form: how a network's modules are called inside a larger one, which may have taken it apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

FEATURES = "features"
"""What torchvision calls all but the head, where it is one module."""


class Form(Struct, frozen=True):
    """Without fields: the network as it is built."""

    children: tuple[str, ...] = ()
    """Its modules in order, where they are numbered: `nn.Sequential(*list(net.children())[:-1])`."""
    taken: str = ""
    """The one module of it that was taken: `net.features`."""

    def within(self, name: str) -> str | None:
        """What a tensor of the builder is called there; None where it isn't."""
        first, _, rest = name.partition(".")
        if self.taken:
            return rest if first == self.taken else None
        if not self.children:
            return name
        return f"{self.children.index(first)}.{rest}" if rest and first in self.children else None

    def own(self, name: str) -> str:
        """The builder's name of what is called so there; other names stay."""
        if self.taken:
            return f"{self.taken}.{name}"
        first, dot, rest = name.partition(".")
        numbers = {str(number): child for number, child in enumerate(self.children)}
        return f"{numbers.get(first, first)}{dot}{rest}"


def forms(children: Sequence[str]) -> Iterator[Form]:
    """In which a network of these modules is met, besides as it is."""
    if children:
        yield Form(children=tuple(children))
    if FEATURES in children:
        yield Form(taken=FEATURES)
