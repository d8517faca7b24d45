"""What an archive answers, in a clean interpreter on the unpacked files, as a worker would.

    python -I unpacked.py FOLDER INPUTS REPORT

It sees only those files and site-packages, so `handlers` here is the archive's own copy. INPUTS is a JSON
list of paths; REPORT becomes {"responses": [{"status", "body"}], "golden": "..."}, or {"error": "..."}.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from handlers.handler import Handler


def main(folder: Path, inputs: Path, report: Path) -> None:
    sys.path.insert(0, str(folder))
    paths = [Path(name) for name in json.loads(inputs.read_text(encoding="utf-8"))]
    report.write_text(json.dumps(outcome(folder, paths)), encoding="utf-8")


def outcome(folder: Path, paths: list[Path]) -> dict[str, Any]:
    """The report: a response for each path and what its samples' replay said, or why it can't be opened."""
    try:
        handler = opened(folder)
        return {"responses": [response(handler, path) for path in paths], "golden": golden(handler, folder)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def opened(folder: Path) -> Handler:
    """As serve.py opens it."""
    from handlers import seal
    from handlers.handler import Handler

    seal.verify(folder)
    return Handler.open(folder)


def response(handler: Handler, path: Path) -> dict[str, Any]:
    from handlers.wire import Row

    (answered,) = handler.predict([Row({"body": path.read_bytes()}, request_id=path.name)])
    return {"status": answered.status, "body": answered.body.decode()}


def golden(handler: Handler, folder: Path) -> str:
    """Why the first sample that differs does; "" when all pass."""
    from handlers import golden
    from handlers.errors import Refusal

    try:
        golden.replay(handler, folder)
    except Refusal as error:
        return str(error)
    return ""


if __name__ == "__main__":
    main(*(Path(word).resolve() for word in sys.argv[1:4]))
