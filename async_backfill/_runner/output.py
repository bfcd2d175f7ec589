"""The summary file: refused early when it cannot be written, and replaced whole or not at all."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from anyio import to_thread

from async_backfill._common.atomic_file import AtomicFile, reason, resolved
from async_backfill.errors import AsyncBackfillError, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


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
    try:
        # Made here and now, not in a thread that might do it after a cancellation has cleaned up.
        with AtomicFile(path) as replacement:
            await to_thread.run_sync(replacement.fill, content)
            # Nothing is awaited from here on, so whoever is cancelled knows that the old file is there.
            replacement.put_in_place()
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {reason(error)}") from error


def _check(path: str, reads: Iterable[Path]) -> None:
    try:
        problem = _obstacle(path, resolved(path), reads)
        if problem is None:
            with AtomicFile(path):
                pass
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        problem = f"cannot be written: {reason(error)}"
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
