"""What an endpoint is measured beside, by what its request holds."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from scripts.benchmarking import service
from scripts.benchmarking.bare import BareLoop
from scripts.benchmarking.contestant import Contestant
from scripts.benchmarking.request import Sent
from scripts.benchmarking.stock import stock
from scripts.benchmarking.target import Target
from scripts.catalog import Entry
from scripts.processes.children import Children

STOCK_TASK = "classify"


def start(
    entry: Entry, sent: Sent, scratch: Path, children: Children, stack: ExitStack
) -> tuple[list[Contestant], list[str]]:
    """All that can do the same work, and why others don't take part; raises CommandError."""
    folder, model = entry.folder.resolve(), entry.recipe.handler
    target = Target("", str(sent.file), sent.items)
    found: list[Contestant] = [BareLoop(folder, entry.recipe, target, scratch, stack)]
    if sent.items != 1:
        return found, ["Flask, FastAPI and the stock handler: the tutorials' take one item in a request"]
    if ":" in model.task:
        return found, [f"Flask, FastAPI and the stock handler: {model.task} is the owner's own"]
    if sent.kind == "numbers":
        return [*found, service.fastapi(folder, target, scratch, children, stack)], []
    if model.task != STOCK_TASK:
        return found, [f"Flask and the stock handler: theirs classify, {entry.name} does {model.task}"]
    found.append(service.flask(folder, target, scratch, children, stack))
    declared = model.image_input()
    if declared is None or declared.mode != "RGB" or declared.flatten or declared.crop != 224:
        return found, ["the stock handler: it prepares RGB pictures of 224 px, and no others"]
    return [*found, stock(model, folder, target, scratch, children, stack)], []
