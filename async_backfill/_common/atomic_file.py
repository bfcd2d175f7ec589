"""Atomic writes: replace a file as a whole or not at all, whatever happens in between."""

from __future__ import annotations

import os
import secrets
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from types import TracebackType

_PREFIX: Final = ".async_backfill-"
_SUFFIX: Final = ".tmp"
_ABANDONED: Final = 3600.0
"""Age in seconds of a temporary file whose process must have been killed: no write takes that long."""


class AtomicFile:
    """A new, empty temporary file beside ``path``; inside ``with`` it replaces ``path``, or is removed.

    Links are followed, and an existing file keeps its permissions. Whatever goes wrong, a reader finds
    the old file or the new one. Only a process that is killed leaves its temporary file behind; see
    `remove_leftovers`. Each method may run in a worker thread; a method that still runs after the end
    of ``with`` fails and changes nothing.

    :raises OSError: when the file system refuses.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._target = resolved(path)
        self._beside = self._target.with_name(f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}")

    def __enter__(self) -> Self:
        try:
            _create(self._beside, _mode_of(self._target))
        except BaseException:
            _remove(self._beside)
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _remove(self._beside)

    def fill(self, content: bytes) -> None:
        """Write ``content`` and return once it is on the disk."""
        with self._beside.open("r+b") as file:  # never creates the file: it may have been removed since
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def put_in_place(self) -> None:
        """Replace the old file by the new one, so that it stays replaced after a power cut."""
        self._beside.replace(self._target)
        # Some file systems cannot sync a folder, and the file has been replaced already.
        with suppress(OSError):
            folder = os.open(self._target.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Remove the temporary files beside ``path`` that are more than an hour old: their process was killed.

    Files that cannot be removed stay.
    """
    latest = time.time() - _ABANDONED
    with suppress(OSError):
        for leftover in resolved(path).parent.glob(f"{_PREFIX}*{_SUFFIX}"):
            with suppress(OSError):
                if leftover.stat().st_mtime < latest:
                    leftover.unlink()


def resolved(path: str | os.PathLike[str]) -> Path:
    """Return the target of ``path`` after following all links, whether or not the file exists."""
    return Path(os.path.realpath(path))


def reason(error: Exception) -> str:
    """Return the file system's reason as the end of a message; the same in each version of Python."""
    if isinstance(error, ValueError) and "embedded null" in str(error):
        return "embedded null byte"
    return ((error.strerror if isinstance(error, OSError) else None) or str(error)).lower()


def _mode_of(target: Path) -> int | None:
    try:
        return stat.S_IMODE(target.stat().st_mode)
    except FileNotFoundError:
        return None


def _create(path: Path, mode: int | None) -> None:
    """Create an empty file with the permissions ``mode``; ``None`` leaves them to the process's umask."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    if mode is not None:
        path.chmod(mode)


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        path.unlink()
