"""What `inspect` costs on a large file, beside torch.load of the same file, turn by turn, in one run.

    .venv/bin/python -m benchmarks.inspection                    # makes a file of 1 GiB for it
    .venv/bin/python -m benchmarks.inspection weights.pth

Each runs in processes of its own, on a file that the system has in its cache. Prints the median of
seconds, and how much memory a process took at its peak beyond what importing took; a mapped file counts
as memory there, though the system can drop it at any time.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

WAYS = ("inspect", "torch.load", "torch.load mmap")
VALUES = 2**22
"""Of one tensor of the file that is made."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--gib", type=float, default=1.0, help="of the file that is made")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)  # what a child runs
    asked = parser.parse_args()
    if asked.way:
        print(json.dumps(one_turn(asked.way, asked.file)))
        return
    with tempfile.TemporaryDirectory() as folder:
        compare(asked.file or make(Path(folder) / "weights.pth", asked.gib), asked.turns)


def compare(file: Path, turns: int) -> None:
    """Print a line for each way, and the ratios to torch.load."""
    file.read_bytes()  # into the system's cache
    seen: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(turns):
        for way in WAYS:
            seen[way].append(child(way, file))
    medians = {
        way: {key: statistics.median(turn[key] for turn in taken) for key in ("seconds", "mib")}
        for way, taken in seen.items()
    }
    print(f"{file.name}: {file.stat().st_size / 2**20:,.0f} MiB, median of {turns}")
    base = medians["torch.load"]
    for way, median in medians.items():
        print(
            f"{way:15} {median['seconds']:.2f} s (x {median['seconds'] / base['seconds']:.2f}), "
            f"{median['mib']:,.0f} MiB (x {median['mib'] / base['mib']:.2f})"
        )


def child(way: str, file: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.inspection", str(file), "--way", way]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def one_turn(way: str, file: Path) -> dict[str, float]:
    """Seconds of one way, and its peak memory in MiB beyond what importing took."""
    run = prepared(way, file)
    before, began = peak(), time.perf_counter()
    run()
    return {"seconds": time.perf_counter() - began, "mib": peak() - before}


def prepared(way: str, file: Path) -> Callable[[], object]:
    """The call to measure, everything imported."""
    import torch

    if way != "inspect":
        return lambda: torch.load(file, weights_only=True, map_location="cpu", mmap=way.endswith("mmap"))
    from rich.console import Console

    from scripts.inspect import Asked, inspect
    from scripts.places import Places

    asked = Asked(architecture=False)
    return lambda: inspect(Places(), file, asked, Console(file=io.StringIO()))


def peak() -> float:
    """MiB of this process at its peak (VmHWM; getrusage would count what started it)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def make(path: Path, gib: float) -> Path:
    """A state dict of random values."""
    import torch

    count = round(gib * 2**30 / 4 / VALUES)
    torch.save({f"layer{index}.weight": torch.randn(2**11, VALUES // 2**11) for index in range(count)}, path)
    return path


if __name__ == "__main__":
    main()
