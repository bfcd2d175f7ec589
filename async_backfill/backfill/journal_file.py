"""The hot-key journal in a file, which is replaced as a whole or not at all."""

from __future__ import annotations

import errno
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from anyio import to_thread

from async_backfill._common.atomic_file import NOT_REGULAR, AtomicFile, reason, remove_leftovers
from async_backfill._common.file_lock import FileLock
from async_backfill._common.journal_format import JournalKeys, decode, encode
from async_backfill.contracts import ExclusiveJournal
from async_backfill.errors import JournalError

if TYPE_CHECKING:
    import os

    from async_backfill.contracts import Heats

__all__ = ["JournalFile"]

_IN_USE: Final = (
    "another process saves to it, or another cache of this one;"
    " give each a file of its own, or let them share a RedisJournal"
)


class JournalFile(ExclusiveJournal):
    """An `async_backfill.contracts.Journal` in the file at ``path``.

    Keys of all standard types are kept, with their type. Enums, named tuples, data classes and classes that
    compare in a way of their own are kept when their class is given; others are left out.

    One `JournalFile` at a time, of all processes, may save to a path: the first one to save has it until
    `close`, until the cache closes that it is the journal of, or until its process ends. All may load.

    Each save writes a temporary file, syncs it and renames it, in a worker thread. A save that is
    cancelled does not wait for the disk; it leaves the old file or the new one. A new file is for its owner
    alone, and an existing one keeps its permissions.

    :param path: the path of the file.
    :param key_type: the classes of keys that are no standard types: a class, a type annotation, a `KeyType`,
        or a tuple of these.
    :raises ConfigurationError: when a class cannot be that of a key.
    :raises OSError: from `save`, when the file cannot be written, the path leads to what is not a regular
        file, or another process saves to it; the old file is still there then.
    """

    def __init__(self, path: str | os.PathLike[str], *, key_type: Any = Any) -> None:
        self._path = Path(path)
        self._keys = JournalKeys(key_type)
        self._has_saved = False
        self._lock = FileLock(self._path)

    async def load(self) -> Heats[Any] | None:
        """Return the heats that were saved last, or ``None`` when there is no file.

        :raises JournalError: when the file cannot be read, is damaged, is not a journal, or was written
            by a newer version; the text is one line that begins with the path.
        """
        try:
            return await to_thread.run_sync(_loaded, self._path, self._keys, abandon_on_cancel=True)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path, or from `decode`
            problem = reason(error) if isinstance(error, OSError) else str(error)
            raise JournalError(f"{self._path}: {problem}") from error

    async def save(self, heats: Heats[Any], /) -> None:
        """Replace the content of the file by ``heats``; return once they are on the disk."""
        if not await to_thread.run_sync(self._lock.acquire, abandon_on_cancel=True):
            raise BlockingIOError(errno.EAGAIN, _IN_USE, str(self._path))
        if not self._has_saved:
            await to_thread.run_sync(remove_leftovers, self._path, abandon_on_cancel=True)
            self._has_saved = True
        with AtomicFile(self._path) as replacement:
            await to_thread.run_sync(_write, replacement, heats, self._keys, abandon_on_cancel=True)

    def close(self) -> None:
        """Let others save to the file; the next `save` asks for it again."""
        self._lock.release()


def _write(replacement: AtomicFile, heats: Heats[Any], keys: JournalKeys) -> None:
    replacement.fill(encode(heats, keys))
    replacement.put_in_place()


def _loaded(path: Path, keys: JournalKeys) -> Heats[Any]:
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError(NOT_REGULAR)
    return decode(path.read_bytes(), keys)
