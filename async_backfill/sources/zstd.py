"""Read zstd files, of one or more frames, as a source; needs the extra ``zstd``."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from async_backfill._common.extras import needed_by

if TYPE_CHECKING:
    from collections.abc import Iterator

    from async_backfill.sources._rows.content import Reader

with needed_by("async_backfill.sources.zstd", "zstd", "backports"):
    from async_backfill._common.zstd import ZstdError, ZstdFile

__all__ = ["unpack_zstd"]


@contextmanager
def unpack_zstd(file: BinaryIO) -> Iterator[Reader]:
    """Open a zstd ``file`` for reading: ``FileSource(..., unpack=unpack_zstd)``.

    A window of more than 128 MiB is refused (zstd's own limit), so memory is bounded.

    :raises ValueError: when the file is damaged, also while it is read.
    :raises EOFError: when the file is cut off.
    """
    try:
        with ZstdFile(file) as opened:
            yield opened
    except ZstdError as error:
        raise ValueError(str(error)) from error
