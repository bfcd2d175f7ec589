"""The audit log in a file, as JSON lines."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from anyio import open_file, sleep, to_thread

from async_backfill._common.atomic_file import open_regular
from async_backfill._common.file_lock import try_lock
from async_backfill._common.json_text import json_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backfill.records import AuditRecord

__all__ = ["AuditFile"]

_PAUSES: Final = (0.001, 0.01, *(0.1,) * 20)
_IN_USE: Final = "another process has been writing to it for two seconds"


class AuditFile:
    """An `async_backfill.contracts.AuditSink` that appends to the file at ``path``.

    One JSON object per line. Each write opens, appends, syncs and closes the file, so it can be rotated
    at any time. An unfinished line after a crash stays a line of its own. Several caches and processes may
    write to one file: each has it for itself while it writes, and each line names its ``process``, and its
    ``cache`` where that has a name. Among the lines of one of these a record with the ``number`` of an
    earlier one replaces it: only its repeats have risen.

    A new file is for its owner alone, and an existing one keeps its permissions.

    :raises OSError: from `write`, when the file cannot be written, or the path leads to what is not a regular
        file; the cache logs it and tries again.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    async def write(self, records: Sequence[AuditRecord], /) -> None:
        """Append ``records`` and return once they are on the disk."""
        lines = b"".join(_line(record) for record in records)
        async with await open_file(self._path, "ab+", opener=open_regular) as file:
            number = file.wrapped.fileno()
            await self._lock(number)
            if await file.seek(0, os.SEEK_END):
                await file.seek(-1, os.SEEK_END)
                if await file.read(1) != b"\n":
                    lines = b"\n" + lines
            await file.write(lines)
            await file.flush()
            await to_thread.run_sync(os.fsync, number)

    async def _lock(self, file: int) -> None:
        """Keep other writers out until the file is closed."""
        for pause in _PAUSES:
            if try_lock(file):
                return
            await sleep(pause)
        raise BlockingIOError(errno.EAGAIN, _IN_USE, str(self._path))


def _line(record: AuditRecord) -> bytes:
    fields = record.as_dict()
    try:
        return f"{json_text(fields)}\n".encode()
    except UnicodeEncodeError:  # the text of an error may hold a lone surrogate, from a file name
        return f"{json.dumps(fields)}\n".encode()
