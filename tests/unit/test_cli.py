"""The command line: help for every verb, every verb in the README, expected errors as one line."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from scripts.cli import main
from scripts.places import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("verb", sorted(main.commands))
def test_every_verb_has_help_and_stands_in_the_readme(verb: str) -> None:
    done = CliRunner().invoke(main, [verb, "--help"])
    assert done.exit_code == 0
    assert main.commands[verb].help
    assert f"`scripts/pthserve {verb}" in README


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scripts.cli", *words], cwd=ROOT, capture_output=True, text=True, timeout=60
    )


def test_an_expected_error_is_one_line_and_exit_status_1() -> None:
    done = run("train", "nothing")
    assert done.returncode == 1
    assert done.stderr.startswith("pthserve: there is no model 'nothing' in models; there are: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_wrong_option_is_exit_status_2() -> None:
    assert run("up", "--nonsense").returncode == 2


def test_the_schema_for_editors_is_the_one_that_is_committed() -> None:
    committed = (ROOT / "models" / "recipe.schema.json").read_text(encoding="utf-8")
    assert run("schema").stdout == committed
