"""README.txt: what lies in the folder of an export, and how it is run."""

from __future__ import annotations

import textwrap

from scripts.exporting.parity import Parity
from scripts.exporting.targets import Target


def write(parity: Parity, target: Target) -> str:
    """The text, ending in a line break."""
    answers, largest = len(parity.compared), f"{parity.max_error:.1e}"
    paragraphs = [
        f"{parity.model} {parity.version}, exported to {parity.target}. Run the example:",
        f"    pip install {target.INSTALLS} numpy pillow\n    python example.py [FILE]",
        f"{', '.join(parity.files)}: the network with its weights. preprocessing.json: how inputs are "
        "prepared, and outputs read. samples/: inputs, and beside each (.output.npy) the raw output of "
        f"PyTorch in float32. parity.json: the comparison with it, {answers} answers, at most {largest} "
        "apart.",
        target.ELSEWHERE,
    ]
    return "\n\n".join(_wrapped(one) for one in paragraphs) + "\n"


def _wrapped(paragraph: str) -> str:
    return paragraph if paragraph.startswith("    ") else textwrap.fill(paragraph, 100)
