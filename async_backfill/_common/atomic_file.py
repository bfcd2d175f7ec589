"""Atomic writes: replace a file as a whole or not at all, whatever happens in between."""

from __future__ import annotations

import errno
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
NOT_REGULAR: Final = "is not a regular file"
OWNER_ALONE: Final = 0o600
_ABANDONED: Final = 3600.0
"""Age in seconds of a temporary file whose process must have been killed: no write takes that long."""


class AtomicFile:
    """A new, empty temporary file beside ``path``; inside ``with`` it replaces ``path``, or is removed.

    A link stays a link: the file that it leads to is replaced. An existing file keeps its permissions; a new
    one is for its owner alone, because what we write holds keys. Whatever goes wrong, a reader finds
    the old file or the new one. Only a process that is killed leaves its temporary file behind; see
    `remove_leftovers`. Each method may run in a worker thread; a method that still runs after the end
    of ``with`` fails and changes nothing.

    :raises OSError: when the file system refuses, or ``path`` leads to what is not a regular file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._target = resolved(path)
        self._beside = self._target.with_name(f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}")

    def __enter__(self) -> Self:
        try:
            _create(self._beside, regular_mode(self._target))
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
        """Write ``content``, after what was written before, and return once it is on the disk."""
        with self._beside.open("r+b") as file:  # never creates the file: it may have been removed since
            file.seek(0, os.SEEK_END)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def put_in_place(self) -> None:
        """Replace the old file by the new one, so that it stays replaced after a power cut."""
        regular_mode(self._target)  # whatever came there meanwhile
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


def regular_mode(path: str | os.PathLike[str]) -> int | None:
    """Return the permissions of the file that ``path`` leads to; ``None`` where there is none.

    :raises OSError: when it is a folder, a device, a pipe or a socket: a rename would remove it, and a write
        would go who knows where.
    """
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - also a str
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, NOT_REGULAR, os.fspath(path))
    return stat.S_IMODE(mode)


def open_regular(path: str | os.PathLike[str], flags: int) -> int:
    """Open a regular file with ``flags`` and return its descriptor; a new one is for its owner alone.

    :raises OSError: when the file system refuses, or ``path`` leads to what is not a regular file.
    """
    regular_mode(path)  # before it is opened, which may wait, or wake a device
    file = os.open(path, flags | getattr(os, "O_NONBLOCK", 0), OWNER_ALONE)
    if stat.S_ISREG(os.fstat(file).st_mode):
        return file
    os.close(file)
    raise OSError(errno.EINVAL, NOT_REGULAR, os.fspath(path))


def _create(path: Path, mode: int | None) -> None:
    """Create an empty file with the permissions ``mode``; ``None`` is for its owner alone."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, OWNER_ALONE))
    if mode is not None:
        path.chmod(mode)


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        path.unlink()
