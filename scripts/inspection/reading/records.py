"""The records of a zip that torch wrote: where each lies, uncompressed, in the mapped file."""

from __future__ import annotations

import struct
import zipfile
from collections import Counter

from handlers.noncheckpoint import ZIP_AGAIN
from handlers.pickled import SOURCES
from scripts.inspection.reading.content import Unreadable
from scripts.inspection.reading.mapped import Mapped, Stream

LOCAL_HEADER = struct.Struct("<4s22xHH")
"""Signature, length of the name, length of the extra field: 30 bytes (APPNOTE.TXT 4.3.7)."""


class Records:
    """Names are those within the archive's one folder ("archive/data/0" is "data/0")."""

    def __init__(self, file: Mapped) -> None:
        """Raises Unreadable for a zip that readers could understand in different ways."""
        self._file = file
        try:
            with zipfile.ZipFile(Stream(file)) as archive:
                entries = archive.infolist()
        except Exception as error:  # a damaged directory raises more than BadZipFile
            raise Unreadable(f"is a damaged zip ({type(error).__name__})", hint="copy it again") from None
        self._entries = {_within(entry.filename): entry for entry in entries}
        self._check(entries)

    def _check(self, entries: list[zipfile.ZipInfo]) -> None:
        if not entries or min(entry.header_offset for entry in entries) != 0:
            raise Unreadable("is a zip with something in front of it", hint=ZIP_AGAIN)
        folders = {entry.filename.partition("/")[0] for entry in entries}
        if len(folders) > 1 and all("/" in entry.filename for entry in entries):
            raise Unreadable("is a zip of several folders, of which torch reads one", hint=ZIP_AGAIN)
        names = Counter(_within(entry.filename).lower() for entry in entries if not _is_code(entry.filename))
        twice = [name for name, count in names.items() if count > 1]
        if twice:
            raise Unreadable(f"holds {twice[0]!r} more than once, so that readers may differ", hint=ZIP_AGAIN)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    @property
    def names(self) -> list[str]:
        return list(self._entries)

    def part(self, name: str) -> Mapped:
        """Where a record's bytes lie; raises Unreadable for one that is missing, compressed or encrypted."""
        entry = self._entries.get(name)
        if entry is None:
            raise Unreadable(f"lacks its record {name[:100]!r}", hint="copy it again")
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            how = "encrypted" if entry.flag_bits & 1 else "compressed"
            raise Unreadable(f"is a zip with {how} records ({name[:100]!r})", hint=ZIP_AGAIN)
        signature, *lengths = LOCAL_HEADER.unpack(
            self._file.part(entry.header_offset, LOCAL_HEADER.size).bytes()
        )
        if signature != b"PK\x03\x04" or entry.file_size != entry.compress_size:
            raise Unreadable(f"has a damaged record {name[:100]!r}", hint="copy it again")
        return self._file.part(entry.header_offset + LOCAL_HEADER.size + sum(lengths), entry.file_size)

    def short(self, name: str, most: int = 1 << 10) -> bytes:
        """The first bytes of a small record, or none where it is missing."""
        return self.part(name).bytes()[:most] if name in self else b""


def _within(name: str) -> str:
    """torch writes every record into one folder; the oldest exported programs have none."""
    return name.partition("/")[2] if "/" in name else name


def _is_code(name: str) -> bool:
    """Sources, whose names may differ by case alone, and which nothing here reads."""
    return name.endswith(SOURCES)
