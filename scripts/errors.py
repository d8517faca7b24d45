"""What a command can fail with: one line with the remedy, and an exit status."""

from __future__ import annotations

from handlers.errors import Refusal


class CommandError(Refusal):
    """An expected failure of a command; cli.py prints it as one line."""

    code = "command_failed"
