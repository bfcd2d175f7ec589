"""Check early that an output file can be written, and write it atomically."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from anyio import to_thread

from async_backfill._common.atomic_file import NOT_REGULAR, AtomicFile, reason, resolved
from async_backfill.errors import AsyncBackfillError, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path


STANDARD_OUTPUT: Final = "-"
"""The path of an output that is printed instead."""


class OutputError(AsyncBackfillError):
    """An output file could not be written; the file that was there before is unchanged."""


async def check_outputs(outputs: Mapping[str, str | None], *, reads: Iterable[Path]) -> None:
    """Check, without changing anything, that each of ``outputs`` can be written, and is a file of its own.

    :param outputs: the paths by the option that names each; one that is ``None`` is not asked for.
    :param reads: the input files of this run, which must not be overwritten.
    :raises ScenarioError: when it cannot be written; names the path and the reason.
    """
    await to_thread.run_sync(_check_all, outputs, list(reads))


async def write_atomically(path: str, content: bytes) -> None:
    """Write ``content`` to ``path`` atomically: to a file beside it, which is synced and renamed.

    A link is followed, and an existing file keeps its permissions; a new one is for its owner alone. After
    any error a reader finds either the old file or the new one, and nothing else is left behind.

    :raises OutputError: when the file system refuses.
    """
    try:
        # Made here, not in a thread, which might do it after a cancellation has cleaned up.
        with AtomicFile(path) as replacement:
            await to_thread.run_sync(replacement.fill, content)
            # Nothing is awaited from here on, so after a cancellation the old file is certainly there.
            replacement.put_in_place()
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {reason(error)}") from error


def _check_all(outputs: Mapping[str, str | None], reads: Sequence[Path]) -> None:
    known: dict[str, str] = {}
    for option, path in outputs.items():
        if path is None or path == STANDARD_OUTPUT:
            continue
        _check(path, reads)
        place = os.path.realpath(path)
        if place in known:
            raise ScenarioError(f"{path}: is also the file of {known[place]}")
        known[place] = option


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
    """Return why no file may be written at ``target``, or ``None``, without trying to write."""
    try:
        found = target.stat()
    except FileNotFoundError:
        found = None
    if path.endswith(("/", os.sep)) or (found is not None and stat.S_ISDIR(found.st_mode)):
        return "is a folder, expected a file"
    if found is None:
        return None if target.parent.is_dir() else f"the folder {target.parent} does not exist"
    if not stat.S_ISREG(found.st_mode):
        return NOT_REGULAR
    for read in reads:
        if _is_at(read, found):
            return f"would overwrite {read}, which this run reads"
    # A rename does not need the right to write the file, but a write-protected file is protected on purpose.
    return None if os.access(target, os.W_OK) else "is write-protected"


def _is_at(path: Path, found: os.stat_result) -> bool:
    # A file that cannot be examined cannot be read either, and reading it will raise the error.
    with suppress(OSError, ValueError):
        return os.path.samestat(path.stat(), found)
    return False
