"""Archives as the supervisor finds them, without the rehearsal that packing takes seconds for."""

from __future__ import annotations

import zipfile
from pathlib import Path

from handlers import recipe, seal

SPEAKS = "handlers/wire/oip_json.py"
"""Of the handlers as much as the supervisor looks for."""


def archive(folder: Path, store: Path, *, old: bool = False) -> Path:
    """store/NAME-VERSION.mar with the folder's files and their seal; `old`: from before other protocols."""
    model = recipe.load(folder).handler
    if not old:
        (folder / SPEAKS).parent.mkdir(parents=True, exist_ok=True)
        (folder / SPEAKS).touch()
    seal.write(seal.make(folder, model.name, model.version), folder)
    path = store / f"{model.name}-{model.version}.mar"
    with zipfile.ZipFile(path, "w") as written:
        for file in sorted(one for one in folder.rglob("*") if one.is_file()):
            written.write(file, file.relative_to(folder).as_posix())
    return path
