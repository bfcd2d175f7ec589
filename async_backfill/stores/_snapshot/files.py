"""Read and write a snapshot and the log of changes beside it; each method may run in a worker thread."""

from __future__ import annotations

import os
from contextlib import suppress
from glob import escape
from typing import TYPE_CHECKING, Final, Generic

from async_backfill._common.atomic_file import AtomicFile, regular_mode, resolved
from async_backfill._common.file_lock import FileLock
from async_backfill.contracts import K, V
from async_backfill.stores._snapshot.format import Found, SnapshotCodec, digest_of

if TYPE_CHECKING:
    from pathlib import Path

    from async_backfill.stores._snapshot.log import Changes, LogCodec

_REFUSED: Final = ".refused"
_LOG: Final = ".log"
_PART: Final = 1_000_000
_RESERVED: Final = 100  # bytes for the end
_MISSING: Final = "has lost its log of changes"


class SnapshotFiles(Generic[K, V]):
    """The snapshot at ``path``, its log, and the right of one process to replace them."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        codec: SnapshotCodec[K, V],
        log_codec: LogCodec[K],
        *,
        max_bytes: int,
    ) -> None:
        self.path: Path = resolved(path)
        self.lock = FileLock(self.path)
        self.max_bytes = max_bytes
        self._codec = codec
        self._log_codec = log_codec

    def read(self) -> tuple[Found, Changes[K]]:
        """Return the snapshot, verified, and what its log says.

        :raises FileNotFoundError: when there is none.
        :raises ValueError: in one line, when it cannot be used; `OSError` when it cannot be read.
        """
        for _ in range(2):  # the process that has it may replace both between the two reads
            regular_mode(self.path)
            if (size := self.path.stat().st_size) > self.max_bytes:
                raise ValueError(f"has {size} bytes, more than max_bytes, {self.max_bytes}")
            found = self._codec.opened(self.path.read_bytes())
            with suppress(FileNotFoundError):
                name = found.facts.log
                return found, self._log_codec.changes(self.log_path(name).read_bytes(), name)
        raise ValueError(_MISSING)

    def log_path(self, name: str) -> Path:
        """Return the path of the log of that name."""
        return self.path.with_name(f".{self.path.name}.{os.path.basename(name)}{_LOG}")  # noqa: PTH119 - no path

    def put_aside(self) -> None:
        """Move a snapshot that is not used away, so that it cannot come back without a log."""
        with suppress(FileNotFoundError):
            self.path.replace(self.path.with_name(self.path.name + _REFUSED))

    def remove(self) -> None:
        """Remove the snapshot, because what changed since cannot be logged."""
        self.path.unlink(missing_ok=True)

    def remove_logs_but(self, name: str) -> None:
        """Remove the logs of older snapshots, and of those that were never finished."""
        kept = self.log_path(name)
        for path in self.path.parent.glob(f".{escape(self.path.name)}.*{_LOG}"):
            if path != kept:
                with suppress(OSError):
                    path.unlink()


class Writing(Generic[K, V]):
    """One snapshot while it is written: parts are collected and written a megabyte at a time."""

    def __init__(self, replacement: AtomicFile, *, most: int) -> None:
        self._replacement = replacement
        self._most = most
        self.size = 0
        self._digest = digest_of()
        self._parts = bytearray()

    @property
    def is_due(self) -> bool:
        """Whether enough was collected to be written."""
        return len(self._parts) >= _PART

    def add(self, part: bytes) -> bool:
        """Collect ``part``; return ``False`` when it is too large for what is left of the file."""
        if self.size + len(part) > self._most - _RESERVED:
            return False
        self.size += len(part)
        self._parts += part
        return True

    def write(self) -> None:
        """Write what was collected."""
        self._digest.update(self._parts)
        self._replacement.fill(bytes(self._parts))
        self._parts = bytearray()

    def finish(self, codec: SnapshotCodec[K, V]) -> None:
        """Write the rest and the end, and put the file in place of the old one."""
        self._digest.update(self._parts)
        end = codec.end(self._digest.digest())
        self._replacement.fill(bytes(self._parts) + end)
        self.size += len(end)
        self._replacement.put_in_place()
