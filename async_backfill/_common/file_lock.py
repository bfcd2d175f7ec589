"""Advisory locks on files, which end with the process that holds them: POSIX and Windows."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from async_backfill._common.atomic_file import open_regular, regular_mode, resolved

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

if TYPE_CHECKING:
    from pathlib import Path

_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
_FAR_BEHIND: Final = 1 << 30  # Windows locks bytes, and keeps others from reading them
_ATTEMPTS: Final = 10


def try_lock(file: int) -> bool:
    """Lock an open file for its opener alone, until it is closed; return whether that was possible.

    Where the file system has no locks the answer is ``True``: there is nothing that could be done.

    :param file: the descriptor of the file.
    """
    try:
        if sys.platform == "win32":
            place = os.lseek(file, 0, os.SEEK_CUR)
            os.lseek(file, _FAR_BEHIND, os.SEEK_SET)
            try:
                msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
            finally:
                os.lseek(file, place, os.SEEK_SET)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return True
        if error.errno == errno.EDEADLK:  # on Windows: somebody else has it
            return False
        raise
    return True


class FileLock:
    """The right to replace the file at ``path``, held by one opener at a time in all processes.

    It is a lock on an empty file beside it, which is removed when the lock is released. A process that dies
    releases its locks. A forked child has no part in the lock of its parent.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path
        self._held: tuple[int, int, Path] | None = None

    def acquire(self) -> bool:
        """Take the lock, if it is not held already; return ``False`` when another opener has it.

        :raises OSError: when the file system refuses, or the path leads to what is not a regular file.
        """
        if self._held is not None and self._held[0] == os.getpid():
            return True
        self.release()  # a copy that a fork has made would outlive its parent
        target = resolved(self._path)
        regular_mode(target)  # nothing is made beside a device
        beside = target.with_name(f".{target.name}.lock")
        for _ in range(_ATTEMPTS):
            file = open_regular(beside, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0))
            if not try_lock(file):
                break
            if _is_at(file, beside):
                self._held = os.getpid(), file, beside
                return True
            os.close(file)  # it was removed between the two steps
        else:
            return False
        os.close(file)
        return False

    def release(self) -> None:
        """Give the lock back, if it is held."""
        held, self._held = self._held, None
        if held is None:
            return
        process, file, beside = held
        with suppress(OSError):
            if process == os.getpid() and sys.platform != "win32":
                beside.unlink()
        with suppress(OSError):
            os.close(file)

    def __del__(self) -> None:
        self.release()


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False
