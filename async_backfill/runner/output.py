"""The summary file: refused early when it cannot be written, and replaced whole or not at all."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from anyio import to_thread

from async_backfill.errors import AsyncBackfillError, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Iterable


class OutputError(AsyncBackfillError):
    """The summary could not be written; what was there before is still there."""


async def check_output(path: str, *, reads: Iterable[Path]) -> None:
    """Make sure, changing nothing, that a file can be written at ``path``.

    :param reads: files of this run, which must not be overwritten.
    :raises ScenarioError: when it cannot; names ``path`` and says why.
    """
    await to_thread.run_sync(_check, path, list(reads))


async def write_atomically(path: str, content: bytes) -> None:
    """Put ``content`` at ``path``: written beside it, synced, renamed.

    A link is followed, and a file that is there keeps its permissions. Whatever goes wrong, a
    reader finds the old file or the new one, and nothing else is left behind.

    :raises OutputError: when the file system refuses.
    """
    target = _resolved(path)
    temporary = _beside(target)
    try:
        try:
            # Made here and now, not in a thread that might do it after a cancellation has cleaned up.
            _create(temporary, _mode_of(target))
            await to_thread.run_sync(_fill, temporary, content)
            # Nothing is awaited from here on, so whoever is cancelled knows that the old file is there.
            _put_in_place(temporary, target)
        finally:
            _remove(temporary)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {_reason(error)}") from error


def _check(path: str, reads: Iterable[Path]) -> None:
    try:
        target = _resolved(path)
        problem = _obstacle(path, target, reads)
        if problem is None:
            probe = _beside(target)
            _create(probe, None)
            _remove(probe)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        problem = f"cannot be written: {_reason(error)}"
    if problem is not None:
        raise ScenarioError(f"{path}: {problem}")


def _obstacle(path: str, target: Path, reads: Iterable[Path]) -> str | None:
    """Return why no file may be put at ``target``, as far as looking can tell."""
    try:
        found = target.stat()
    except FileNotFoundError:
        found = None
    if path.endswith(("/", os.sep)) or (found is not None and stat.S_ISDIR(found.st_mode)):
        return "is a folder, expected a file"
    if found is None:
        return None if target.parent.is_dir() else f"the folder {target.parent} does not exist"
    if not stat.S_ISREG(found.st_mode):
        return "is not a regular file"
    for read in reads:
        if _is_at(read, found):
            return f"would overwrite {read}, which this run reads"
    # A rename needs no right to write the file itself, but whoever took that right away meant it.
    return None if os.access(target, os.W_OK) else "is write-protected"


def _is_at(path: Path, found: os.stat_result) -> bool:
    # A file that cannot be looked at cannot be read either, and reading it will say so.
    with suppress(OSError, ValueError):
        return os.path.samestat(path.stat(), found)
    return False


def _resolved(path: str) -> Path:
    """Return where ``path`` leads when its links are followed, whether or not there is a file."""
    return Path(os.path.realpath(path))


def _beside(target: Path) -> Path:
    return target.with_name(f".async_backfill-{secrets.token_hex(8)}.tmp")


def _mode_of(target: Path) -> int | None:
    try:
        return stat.S_IMODE(target.stat().st_mode)
    except FileNotFoundError:
        return None


def _create(path: Path, mode: int | None) -> None:
    """Make an empty new file; without ``mode`` the process's umask decides on its permissions."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    if mode is not None:
        path.chmod(mode)


def _fill(path: Path, content: bytes) -> None:
    with path.open("r+b") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _put_in_place(temporary: Path, target: Path) -> None:
    temporary.replace(target)
    # Some file systems cannot sync a folder, and the file is in its place by now.
    with suppress(OSError):
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        path.unlink()


def _reason(error: Exception) -> str:
    return ((error.strerror if isinstance(error, OSError) else None) or str(error)).lower()
