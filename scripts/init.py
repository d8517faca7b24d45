"""init: a checkpoint becomes models/NAME, which serves; what nothing in it tells is said, and left to decide.

open -> choose the weights -> network, inputs, outputs -> the folder -> check -> what is left to do
"""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console

from handlers import recipe
from handlers.errors import Refusal
from handlers.network import open_network
from scripts import catalog
from scripts.check import print_findings
from scripts.checking.checks import check
from scripts.endpoints import say
from scripts.errors import CommandError
from scripts.inspection.opened import Opened
from scripts.inspection.opening import open_checkpoint
from scripts.inspection.weights import Weights
from scripts.places import Places, shown
from scripts.processes.children import Children
from scripts.recipes import files, text, todo
from scripts.recipes.asked import Asked
from scripts.recipes.deciding import Decided, chosen, decide


def init(places: Places, asked: Asked, console: Console) -> int:
    """Write models/NAME, check it, say what is left; exit status 1 if `archive` would refuse it as it is.

    Raises Refusal, with nothing written, when the checkpoint can't be served.
    """
    name = files.name_of(asked)
    folder = files.free(places, name)
    opened = open_checkpoint(asked.weights)
    weights = chosen(opened, asked.key)
    decided = decide(name, opened, weights, asked)
    say(console, f"✓ {shown(folder)}: {_write(folder, decided, opened, weights, asked)}")
    entry = catalog.find(places, name)
    with Children() as children, console.status("checking"):
        findings = check(entry, places, children)
    print_findings(findings, console)
    say(console, "\nleft to do:")
    for number, step in enumerate(todo.left(decided.drafted, entry.recipe, folder, findings), 1):
        say(console, f" {number}. {step}")
    return 1 if any(finding.verdict == "fail" for finding in findings) else 0


def _write(folder: Path, decided: Decided, opened: Opened, weights: Weights, asked: Asked) -> str:
    """The folder, once its weights load strictly; what was written, for the console. Raises Refusal."""
    drafted = decided.drafted
    with files.whole(folder) as partial:
        files.put(partial, {recipe.FILE_NAME: text.write(drafted).encode(), **decided.texts}, decided.copies)
        how = files.put_weights(partial / drafted.weights, asked, opened, weights.state)
        try:
            open_network(recipe.load(partial).handler, partial, torch.device("cpu"))
        except Refusal as error:
            message = error.message.replace(str(partial), shown(folder))
            raise CommandError(f"nothing was written: {message}", hint=error.hint) from error
    written = [recipe.FILE_NAME, f"{drafted.weights} ({how})", *decided.texts, *decided.copies.values()]
    return ", ".join(written)
