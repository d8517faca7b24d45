"""list: every version of every model on this node, and how it is."""

from __future__ import annotations

import msgspec
from rich.console import Console

from scripts.checking import assumed
from scripts.endpoints import print_table
from scripts.places import Places
from scripts.state import asking
from scripts.state.observed import SeenModel, SeenVersion

COLUMNS = (
    "model", "version", "default", "state", "workers", "device", "queue", "active", "memory", "runtime",
    "samples", "assumed",
)  # fmt: skip


def list_models(places: Places, as_json: bool, console: Console) -> int:
    seen = asking.running(places)
    if as_json:
        print(msgspec.json.encode(seen.models).decode())
        return 0
    rows: list[tuple[str, ...]] = [COLUMNS]
    for name, model in sorted(seen.models.items()):
        for number, version in model.versions.items():
            rows.append((name, number, role(model, number), *row(version)))
    print_table(rows, console)
    return 0


def role(model: SeenModel, number: str) -> str:
    """What a version is to callers who name none."""
    told = ["yes"] if number == model.default else []
    for word, share in (("canary", model.canary), ("shadow", model.shadow)):
        if share is not None and share.version == number:
            told.append(f"{word} {share.percent:g}%")
    return ", ".join(told)


def row(version: SeenVersion) -> tuple[str, ...]:
    """One version's columns, behind name and number."""
    return (
        version.state,
        f"{version.ready} of {version.wanted}",
        version.device,
        str(version.queue),
        "-" if version.active is None else str(version.active),
        f"{version.memory / 2**20:.0f} MiB" if version.memory else "-",
        version.runtime,
        version.samples or "-",
        assumed.words(version.assumed),
    )
