"""The lock names a hash for everything that it can, no host, and a version that fits for every dependency."""

import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # comes with mypy

ROOT = Path(__file__).resolve().parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
BY_VERSION_ONLY = {"torch", "torchvision"}


def locked() -> list[tuple[Requirement, list[str]]]:
    """Each requirement of the lock with its hashes."""
    blocks = re.split(r"^(?=[a-z])", re.sub(r"^#.*\n", "", LOCK, flags=re.MULTILINE), flags=re.MULTILINE)
    return [
        (Requirement(block.split("\\")[0].strip()), re.findall(r"--hash=sha256:([0-9a-f]{64})\b", block))
        for block in blocks
        if block
    ]


def declared() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    return [Requirement(line) for group in [project["dependencies"], *extras] for line in group]


def version(name: str, python: str) -> str | None:
    """The version that the lock holds for a package on Linux under one Python."""
    here = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    found = [
        next(iter(requirement.specifier)).version
        for requirement, _ in locked()
        if canonicalize_name(requirement.name) == canonicalize_name(name)
        and (requirement.marker is None or requirement.marker.evaluate(here))
    ]
    assert len(found) < 2, f"{name} is locked at {found} for Python {python}"
    return found[0] if found else None


def test_everything_but_torch_has_a_hash() -> None:
    bare = {requirement.name for requirement, hashes in locked() if not hashes}
    assert bare == BY_VERSION_ONLY


def test_every_line_pins_one_version() -> None:
    for requirement, _ in locked():
        assert [specifier.operator for specifier in requirement.specifier] == ["=="], str(requirement)


def test_no_cuda_package_is_locked() -> None:
    names = [requirement.name for requirement, _ in locked()]
    assert [name for name in names if re.match(r"(nvidia|cuda)-|triton|pytorch-triton", name)] == []


def test_no_host_is_named() -> None:
    assert "://" not in LOCK
    assert "index-url" not in LOCK


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("requirement", declared(), ids=lambda requirement: requirement.name)
def test_every_dependency_is_locked_at_a_version_that_fits(requirement: Requirement, python: str) -> None:
    at = version(requirement.name, python)
    assert at is not None, f"requirements.lock lacks {requirement.name}: run scripts/lock"
    assert requirement.specifier.contains(at, prereleases=True), (
        f"{at} misses {requirement}: run scripts/lock"
    )
