"""A progress bar on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def bar(console: Console, *, seen: bool = True) -> Progress:
    """What is done of how much, and how long it will take; nothing where `seen` is False or no one looks."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not (seen and console.is_terminal),
        redirect_stdout=False,
        redirect_stderr=False,
        transient=True,
    )
