"""A file that is replaced whole or not at all: written beside it, synced, renamed."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from anyio import to_thread


async def replace_file(path: str | os.PathLike[str], content: bytes) -> None:
    """Put ``content`` at ``path``: written beside it, synced, renamed.

    A link is followed, and a file that is there keeps its permissions. Whatever goes wrong, a
    reader finds the old file or the new one, and nothing else is left behind.

    :raises OSError: when the file system refuses.
    """
    target = resolved(path)
    temporary = beside(target)
    try:
        # Made here and now, not in a thread that might do it after a cancellation has cleaned up.
        create(temporary, _mode_of(target))
        await to_thread.run_sync(_fill, temporary, content)
        # Nothing is awaited from here on, so whoever is cancelled knows that the old file is there.
        _put_in_place(temporary, target)
    finally:
        remove(temporary)


def resolved(path: str | os.PathLike[str]) -> Path:
    """Return where ``path`` leads when its links are followed, whether or not there is a file."""
    return Path(os.path.realpath(path))


def beside(target: Path) -> Path:
    """Return a new name in the folder of ``target``."""
    return target.with_name(f".async_backfill-{secrets.token_hex(8)}.tmp")


def create(path: Path, mode: int | None) -> None:
    """Make an empty new file; without ``mode`` the process's umask decides on its permissions."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    if mode is not None:
        path.chmod(mode)


def remove(path: Path) -> None:
    """Remove ``path`` if it is there."""
    with suppress(FileNotFoundError):
        path.unlink()


def _mode_of(target: Path) -> int | None:
    try:
        return stat.S_IMODE(target.stat().st_mode)
    except FileNotFoundError:
        return None


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
