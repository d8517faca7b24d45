"""scripts/pthserve, the real script in a copy of the tree: only Python, uv and df are stand-ins."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = ROOT / "scripts" / "pthserve"
SHELL = shutil.which("dash") or "/bin/sh"
NEEDS = [
    "cat",
    "dirname",
    "env",
    "find",
    "flock",
    "getconf",
    "grep",
    "ls",
    "mkdir",
    "mv",
    "readlink",
    "rm",
    "sed",
]
NEEDS += ["sh", "sha256sum", "tail", "timeout", "tr", "uname"]
OF_THE_STAND_INS = ["cp", "head", "sleep"]

PYTHON = """#!/bin/sh
# Logs its calls, answers for itself what the launcher asks, and runs the command line with a real one.
echo "python $*" | head -n 1 >>"$FAKE/calls"
case "$1 $2" in
"-c import sys; sys.exit("*) [ ! -e "$FAKE/old-python" ] ;;
"-c import venv, ensurepip") [ ! -e "$FAKE/no-venv-module" ] ;;
"-c import pip") ;;
"-m venv")
    mkdir -p "$3/bin" "$3/lib/python3.11/site-packages"
    cp "$0" "$3/bin/python"
    [ ! -e "$FAKE/venv-fails" ] || { echo "venv: half made"; exit 1; }
    echo "version = 3.11.7" >"$3/pyvenv.cfg" ;;
"-m pip")
    [ "$3" = install ] || exit 1
    [ ! -e "$FAKE/no-network" ] || { echo "ERROR: No matching distribution found for uv"; exit 1; }
    for last; do :; done
    cp "$FAKE/uv" "$(dirname "$0")/uv"
    echo "${last#uv==}" >"$(dirname "$0")/uv.version" ;;
*) exec REAL_PYTHON "$@" ;;
esac
"""

UV = """#!/bin/sh
here=$(dirname "$(dirname "$0")")
case "$*" in
--version) echo "uv $(cat "$here/bin/uv.version")"; exit ;;
"cache dir") exit ;;
esac
echo "uv backend=${UV_TORCH_BACKEND-none} index=${UV_DEFAULT_INDEX-none} in $PWD: $*" >>"$FAKE/calls"
case "$*" in
*--dry-run*)
    [ ! -e "$FAKE/no-torch-index" ] || { echo "error: dns error"; exit 2; }
    echo " + torch==2.13.0+cpu"; exit ;;
esac
while [ -e "$FAKE/slow" ]; do sleep 0.01; done
for trouble in no-network no-space bad-hash; do
    [ ! -e "$FAKE/$trouble" ] || { cat "$FAKE/$trouble"; exit 2; }
done
site=$here/lib/python3.11/site-packages
mkdir -p "$site/torch-2.13.0+cpu.dist-info" "$site/torchvision-0.28.0+cpu.dist-info"
echo "uv's chatter"
"""

DF = """#!/bin/sh
echo "Filesystem 1048576-blocks Used Available Capacity Mounted"
echo "/dev/disk 99999 1 $(cat "$FAKE/free-mb") 1% /"
"""

CLI = """
import json, os, sys
from scripts.neighbour import NAME
environ = {key: value for key, value in os.environ.items() if key.startswith(("UV_", "PYTHON"))}
seen = {"args": sys.argv[1:], "cwd": os.getcwd(), "pid": os.getpid(), "name": NAME, "environ": environ}
print(json.dumps(seen))
sys.exit(7 if "fail" in sys.argv else 0)
"""

Env = dict[str, str] | None


@dataclass
class Tree:
    """A copy of the tree with its stand-ins; `trouble` files steer them."""

    root: Path
    fake: Path
    env: dict[str, str] = field(default_factory=dict)

    def command(self, *args: str, launcher: Path | None = None) -> list[str]:
        return [SHELL, str(launcher or self.root / "scripts" / "pthserve"), *args]

    def run(
        self, *args: str, cwd: Path | None = None, launcher: Path | None = None, env: Env = None
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.command(*args, launcher=launcher),
            cwd=cwd or self.root.parent,
            env=self.env | (env or {}),
            capture_output=True,
            text=True,
            timeout=60,
        )

    def ok(
        self, *args: str, cwd: Path | None = None, launcher: Path | None = None, env: Env = None
    ) -> dict[str, object]:
        done = self.run(*args, cwd=cwd, launcher=launcher, env=env)
        assert done.returncode == 0, done.stderr
        seen: dict[str, object] = json.loads(done.stdout)
        return seen

    def remedy(self, *args: str, env: Env = None) -> str:
        """The last line of a start that fails as it should."""
        done = self.run(*args, env=env)
        assert done.returncode == 1, done
        assert done.stdout == ""
        last = done.stderr.splitlines()[-1]
        assert last.startswith("pthserve: ")
        return last

    def trouble(self, name: str, text: str = "") -> Path:
        path = self.fake / name
        path.write_text(text + "\n")
        return path

    def calls(self) -> list[str]:
        path = self.fake / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def installs(self) -> list[str]:
        return [call for call in self.calls() if call.startswith("uv ") and "--dry-run" not in call]

    def forget(self) -> None:
        (self.fake / "calls").unlink(missing_ok=True)


def executable(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    root, fake, tools = tmp_path / "the tree", tmp_path / "fake", tmp_path / "tools"
    for folder in (root / "scripts", fake, tools):
        folder.mkdir(parents=True)
    for name in ("scripts/pthserve", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, root / name)
    (root / "scripts" / "cli.py").write_text(CLI)
    (root / "scripts" / "neighbour.py").write_text("NAME = 'ours'\n")
    for name in NEEDS + OF_THE_STAND_INS:
        found = shutil.which(name)
        if found:
            (tools / name).symlink_to(found)
    executable(tools / "python3", PYTHON.replace("REAL_PYTHON", sys.executable))
    executable(tools / "df", DF)
    executable(fake / "uv", UV)
    (fake / "free-mb").write_text("99999\n")
    return Tree(root, fake, {"PATH": str(tools), "FAKE": str(fake), "HOME": str(tmp_path)})


def test_first_start_installs_and_passes_the_arguments_through(tree: Tree) -> None:
    args = ["status", "a b", '"quoted"', "it's", "", "$HOME", "*", "-c", "--x=\\n"]
    assert tree.ok(*args)["args"] == args
    (install,) = tree.installs()
    assert "-c requirements.lock -r pyproject.toml" in install
    assert "--extra" not in install
    assert f" in {tree.root}:" in install
    assert "backend=auto" in install


def test_second_start_installs_nothing_and_runs_one_python(tree: Tree) -> None:
    tree.ok("status")
    tree.forget()
    done = tree.run("status")
    assert done.stderr == ""
    assert len(tree.calls()) == 1


def test_first_start_says_little_and_only_on_stderr(tree: Tree) -> None:
    done = tree.run("status")
    assert len(done.stdout.splitlines()) == 1
    assert [line for line in done.stderr.splitlines() if not line.startswith("pthserve: ")] == []
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml"])
def test_changed_requirements_install_again(tree: Tree, name: str) -> None:
    tree.ok("status")
    with (tree.root / name).open("a") as file:
        file.write("# changed\n")
    assert "changed" in tree.run("status").stderr
    assert len(tree.installs()) == 2
    tree.ok("status")
    assert len(tree.installs()) == 2


def test_test_asks_for_the_dev_extra_which_holds_base(tree: Tree) -> None:
    tree.ok("test")
    assert "--extra dev" in tree.installs()[0]
    tree.ok("status")
    tree.ok("train")
    assert len(tree.installs()) == 1


def test_base_then_test_adds_the_dev_extra(tree: Tree) -> None:
    tree.ok("up")
    assert "adding" in tree.run("test").stderr
    assert ["--extra dev" in install for install in tree.installs()] == [False, True]


EXTRAS = ["int8", "executorch", "bench", "dev"]


def extras(install: str) -> list[str]:
    """Those that uv was asked for."""
    words = install.split()
    return [after for word, after in pairwise(words) if word == "--extra"]


def test_test_brings_every_extra_and_train_what_training_needs(tree: Tree) -> None:
    tree.ok("train")
    assert extras(tree.installs()[0]) == ["dev"]
    tree.ok("test")
    assert set(extras(tree.installs()[1])) == set(EXTRAS)
    tree.ok("train")
    assert tree.run("setup", *EXTRAS).returncode == 0
    assert len(tree.installs()) == 2


@pytest.mark.parametrize("verb", ["benchmark", "tune"])
def test_what_measures_brings_bench_once(tree: Tree, verb: str) -> None:
    tree.ok("up")
    tree.ok("--models", "test", "--state=s", verb, "digits_mlp")
    tree.ok(verb, "digits_mlp")
    tree.ok("up")
    assert [extras(install) for install in tree.installs()] == [[], ["bench"]]


def test_setup_adds_the_extras_that_it_is_told(tree: Tree) -> None:
    assert tree.run("setup").returncode == 0
    done = tree.run("setup", "int8")
    assert "adding int8" in done.stderr
    assert tree.run("setup", "bench", "int8").returncode == 0
    assert tree.run("setup", "int8").stderr == ""
    assert [extras(install) for install in tree.installs()] == [[], ["int8"], ["int8", "bench"]]


def test_an_unknown_extra_is_named_beside_those_there_are(tree: Tree) -> None:
    last = tree.remedy("setup", "bench", "int4")
    assert "no extra 'int4': setup takes int8, executorch, bench, dev, or none" in last
    assert tree.calls() == []


def test_an_update_takes_along_what_was_added(tree: Tree) -> None:
    assert tree.run("setup", "int8").returncode == 0
    with (tree.root / "requirements.lock").open("a") as file:
        file.write("# changed\n")
    assert "changed" in tree.run("up").stderr
    assert tree.run("setup", "int8").stderr == ""
    assert [extras(install) for install in tree.installs()] == [["int8"], ["int8"]]


def test_setup_makes_the_environment_and_needs_nothing_of_the_command_line(tree: Tree) -> None:
    (tree.root / "scripts" / "cli.py").rename(tree.root / "scripts" / "later.py")
    done = tree.run("setup")
    assert (done.returncode, done.stdout) == (0, ""), done
    (tree.root / "scripts" / "later.py").rename(tree.root / "scripts" / "cli.py")
    tree.ok("up")
    assert len(tree.installs()) == 1


def test_the_exit_status_is_the_commands(tree: Tree) -> None:
    tree.ok("status")
    assert tree.run("fail").returncode == 7


def test_the_command_takes_the_launchers_place(tree: Tree) -> None:
    tree.ok("status")
    with subprocess.Popen(tree.command("status"), env=tree.env, stdout=subprocess.PIPE, text=True) as process:
        out, _ = process.communicate(timeout=60)
    assert json.loads(out)["pid"] == process.pid


def test_the_users_folder_stays_and_lends_no_module(tree: Tree, tmp_path: Path) -> None:
    elsewhere = tmp_path / "else where"
    (elsewhere / "scripts").mkdir(parents=True)
    (elsewhere / "scripts" / "neighbour.py").write_text("NAME = 'theirs'\n")
    (elsewhere / "runpy.py").write_text("raise SystemExit('shadowed')\n")
    seen = tree.ok("status", cwd=elsewhere)
    assert seen["cwd"] == str(elsewhere)
    assert seen["name"] == "ours"


def test_the_environment_of_the_command_is_the_users(tree: Tree) -> None:
    assert tree.ok("status")["environ"] == {}
    given = {"UV_TORCH_BACKEND": "cpu", "PYTHONPATH": "/nowhere"}
    assert tree.ok("test", env=given)["environ"] == given


def test_works_through_symlinks(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "first").symlink_to(tree.root / "scripts" / "pthserve")
    (tmp_path / "second").symlink_to("bin/first")
    tree.ok("status", launcher=tmp_path / "second")
    assert (tree.root / ".venv" / "bin" / "python").exists()


def test_venv_elsewhere_and_relative(tree: Tree, tmp_path: Path) -> None:
    tree.ok("status", env={"PTHSERVE_VENV": "some where/env"})
    assert (tmp_path / "some where" / "env" / "bin" / "uv").exists()
    assert not (tree.root / ".venv").exists()


def test_backend_of_the_user_is_taken(tree: Tree) -> None:
    tree.ok("status", env={"UV_TORCH_BACKEND": "cu130"})
    assert "backend=cu130" in tree.installs()[0]


def test_index_of_pip_is_handed_to_uv(tree: Tree) -> None:
    tree.ok("status", env={"PIP_INDEX_URL": "http://localhost/simple"})
    assert "index=http://localhost/simple" in tree.installs()[0]


def test_unreachable_torch_index_takes_the_cuda_build(tree: Tree) -> None:
    tree.trouble("no-torch-index")
    done = tree.run("status")
    assert done.returncode == 0, done.stderr
    assert "PyTorch's own index can't be reached" in done.stderr
    assert "backend=none" in tree.installs()[0]


def test_an_installed_torch_stays_where_the_index_went(tree: Tree) -> None:
    tree.ok("status")
    tree.trouble("no-torch-index")
    done = tree.run("test")
    assert done.returncode == 0, done.stderr
    assert "index" not in done.stderr
    assert "--reinstall" not in tree.installs()[1]


def test_half_a_pair_is_replaced_as_a_pair(tree: Tree) -> None:
    tree.ok("status")
    (tree.root / ".venv/lib/python3.11/site-packages/torchvision-0.28.0+cpu.dist-info").rmdir()
    tree.trouble("no-torch-index")
    tree.ok("test")
    assert "--reinstall-package torch --reinstall-package torchvision" in tree.installs()[1]


@pytest.mark.parametrize(
    ("name", "text", "remedy"),
    [
        ("no-network", "error: dns error", "check the network"),
        ("no-space", "error: No space left on device (os error 28)", "PTHSERVE_VENV="),
        ("bad-hash", "  Hash mismatch for `msgspec==0.22.0`", "msgspec==0.22.0"),
    ],
)
def test_failing_install_ends_with_the_remedy_and_the_next_start_recovers(
    tree: Tree, name: str, text: str, remedy: str
) -> None:
    tree.ok("up")
    trouble = tree.trouble(name, text)
    last = tree.remedy("test")
    assert remedy in last
    assert "run again" in last
    trouble.unlink()
    tree.ok("test")
    assert len(tree.installs()) == 3


def test_failing_download_of_uv_recovers(tree: Tree) -> None:
    trouble = tree.trouble("no-network", "error: dns error")
    assert "check the network" in tree.remedy("status")
    trouble.unlink()
    tree.ok("status")


def test_full_disk_is_seen_before_the_download(tree: Tree) -> None:
    tree.trouble("free-mb", "2000")
    last = tree.remedy("status")
    assert "2500 MB" in last
    assert str(tree.root / ".venv") in last
    assert "PTHSERVE_VENV=" in last
    tree.trouble("free-mb", "4000")
    tree.trouble("no-torch-index")
    assert "8000 MB" in tree.remedy("status")
    assert tree.installs() == []


def test_missing_venv_module(tree: Tree) -> None:
    tree.trouble("no-venv-module")
    assert "apt-get install python3-venv" in tree.remedy("status")
    assert not (tree.root / ".venv").exists()


def test_no_python_that_fits(tree: Tree) -> None:
    tree.trouble("old-python")
    assert "3.10 to 3.13" in tree.remedy("status")
    assert "PTHSERVE_PYTHON=/no/python" in tree.remedy("status", env={"PTHSERVE_PYTHON": "/no/python"})


def test_half_made_venv_is_made_anew(tree: Tree) -> None:
    trouble = tree.trouble("venv-fails")
    tree.remedy("status")
    trouble.unlink()
    leftover = tree.root / ".venv" / "leftover"
    leftover.touch()
    tree.ok("status")
    assert not leftover.exists()


def test_moved_tree_makes_its_venv_anew(tree: Tree, tmp_path: Path) -> None:
    tree.ok("status")
    (tree.root / ".venv" / "leftover").touch()
    moved = tree.root.rename(tmp_path / "moved")
    tree.ok("status", launcher=moved / "scripts" / "pthserve")
    assert not (moved / ".venv" / "leftover").exists()


def test_removed_interpreter_makes_the_venv_anew(tree: Tree) -> None:
    tree.ok("status")
    python = tree.root / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/no/python3")
    tree.ok("status")


def test_a_folder_of_the_user_is_never_emptied(tree: Tree, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "thesis.txt").touch()
    assert str(theirs) in tree.remedy("status", env={"PTHSERVE_VENV": str(theirs)})
    assert (theirs / "thesis.txt").exists()


def test_unwritable_place(tree: Tree) -> None:
    assert "can't write" in tree.remedy("status", env={"PTHSERVE_VENV": "/proc/no/venv"})


def wait_for(fact: Callable[[], bool], log: Path, deadline: float = 20.0) -> None:
    end = time.monotonic() + deadline
    while not fact():
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.01)


@pytest.mark.skipif(shutil.which("flock") is None, reason="needs flock(1)")
def test_two_starts_at_once_install_once(tree: Tree, tmp_path: Path) -> None:
    slow = tree.trouble("slow")
    logs = [tmp_path / "first.log", tmp_path / "second.log"]
    facts = [lambda: bool(tree.installs()), lambda: "waiting" in logs[1].read_text()]
    started = []
    try:
        for log, fact in zip(logs, facts, strict=True):
            with log.open("w") as file:
                started.append(
                    subprocess.Popen(tree.command("up"), env=tree.env, stdout=subprocess.DEVNULL, stderr=file)
                )
            wait_for(fact, log)
    finally:
        slow.unlink()
        statuses = [process.wait(timeout=60) for process in started]
    assert statuses == [0, 0]
    assert len(tree.installs()) == 1


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize("name", ["scripts/pthserve", "scripts/lock", ".ci/run"])
def test_shellcheck_finds_nothing(name: str) -> None:
    done = subprocess.run(["shellcheck", ROOT / name], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
