"""Unpacking of zstd, in one or more frames; needs the extra ``zstd``.

It is the standard library's module of Python 3.14, and its backport before. The more common
``zstandard`` returns what there is of a frame that is cut off, and raises nothing.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from async_backfill.sources.file_content import Reader


@contextmanager
def unpack_zstd(file: BinaryIO) -> Iterator[Reader]:
    """Open ``file``, packed with zstd, for reading: ``FileSource(..., unpack=unpack_zstd)``.

    A window of more than 128 MiB is refused (`zstd`'s own limit), so memory is bounded.

    :raises ValueError: when it is damaged, also while it is read; `EOFError` when it is cut off.
    """
    try:
        with zstd.ZstdFile(file) as opened:
            yield opened
    except zstd.ZstdError as error:
        raise ValueError(str(error)) from error
