"""The examples of docs/, run against a real endpoint: what they print is what stands below them."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.places import ROOT
from tests.server.running import Running

PORT = "127.0.0.1:8000"
TEXT = (ROOT / "docs" / "calling.md").read_text(encoding="utf-8")

COMMANDS = [
    (command, output)
    for block in re.findall(r"^```console\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    for command, _, output in (
        part.partition("\n") for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    )
]

PROGRAMS = re.findall(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


def told(server: Running, words: list[str | Path]) -> str:
    port = server.config.gateway.url.partition("//")[2]
    given = [word.replace(PORT, port) if isinstance(word, str) else word for word in words]
    done = subprocess.run(given, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.replace(port, PORT)


def comparable(output: str) -> str:
    """To four digits: the last ones are the processor's."""
    return re.sub(r"\d+\.\d{4,}", lambda found: f"{float(found.group()):.4g}", output).strip()


def test_there_are_examples() -> None:
    assert len(COMMANDS) >= 3
    assert len(PROGRAMS) == TEXT.count("```python") == 2


@pytest.mark.parametrize(("command", "output"), COMMANDS)
def test_commands(server: Running, command: str, output: str) -> None:
    assert comparable(told(server, ["curl", "-s", *shlex.split(command)[1:]])) == comparable(output)


@pytest.mark.parametrize(("program", "output"), PROGRAMS)
def test_programs(server: Running, foreign_python: Path, program: str, output: str) -> None:
    python = sys.executable if "scripts.client" in program else foreign_python
    assert comparable(told(server, [python, "-c", program])) == comparable(output)
