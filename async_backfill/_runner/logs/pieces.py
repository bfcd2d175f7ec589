"""Read a file or standard input piece by piece."""

from __future__ import annotations

import os
import stat
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from anyio import to_thread

from async_backfill.sources._rows.reading import opened as opened_file
from async_backfill.sources._rows.reading import read_all, read_piece, refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

STANDARD_INPUT: Final = "-"


def name_of(path: str) -> str:
    """Return ``path`` as error messages show it."""
    return "standard input" if path == STANDARD_INPUT else path


async def total_size(paths: Iterable[str]) -> int:
    """Return the number of bytes to read, or 0 when it cannot be known.

    :raises ScenarioError: for a path that does not exist.
    """
    return await to_thread.run_sync(_total_size, list(paths))


def _total_size(paths: list[str]) -> int:
    sizes = []
    for path in paths:
        try:
            found = os.fstat(0) if path == STANDARD_INPUT else Path(path).stat()
        except (OSError, ValueError) as error:
            raise refusal(name_of(path), error) from error
        sizes.append(found.st_size if stat.S_ISREG(found.st_mode) else None)
    return 0 if None in sizes else sum(size for size in sizes if size is not None)


@asynccontextmanager
async def opened(path: str) -> AsyncIterator[Callable[[], Awaitable[bytes]]]:
    """Open ``path`` for ``with``, which gives a function that reads the next piece; an empty one is the end.

    :raises ScenarioError: when the file cannot be opened; the function raises it when it cannot be read.
    """
    if path == STANDARD_INPUT:
        yield partial(read_piece, name_of(path), 0)
        return
    async with opened_file(path) as read:
        yield read


async def read_standard_input(most: int) -> bytes:
    """Return all of standard input, which is text, or packed.

    :raises ScenarioError: when it cannot be read, is no text, or has more than ``most`` bytes.
    """
    return await read_all(name_of(STANDARD_INPUT), 0, most)
