"""Zstandard compression: from the standard library since Python 3.14, from its backport before.

Needs the extra ``zstd``. The more common package ``zstandard`` is not used: it returns a part of a truncated
frame without an error. See decision 36 in notes.md.
"""

from __future__ import annotations

import sys
from typing import Final

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    import backports.zstd as zstd  # noqa: PLR0402 - fails with ModuleNotFoundError in a package of others, too

ZstdError: Final = zstd.ZstdError
ZstdFile: Final = zstd.ZstdFile
ZstdDecompressor: Final = zstd.ZstdDecompressor


def compress(data: bytes, level: int) -> bytes:
    """Return ``data`` as one frame."""
    return zstd.compress(data, level)


def decompress(data: bytes, limit: int) -> bytes:
    """Return the content of the frame ``data``, of at most ``limit`` bytes; it needs little more memory.

    :raises ValueError: when the content is longer, or ``data`` is not one complete frame.
    """
    window = {int(zstd.DecompressionParameter.window_log_max): min(max(limit.bit_length(), 10), 27)}
    unpacker = zstd.ZstdDecompressor(options=window)
    try:
        unpacked = unpacker.decompress(data, limit + 1)
    except zstd.ZstdError as error:
        raise ValueError(str(error)) from error
    if len(unpacked) > limit:
        raise ValueError(f"more than {limit} bytes")
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError("not one whole frame")
    return unpacked
