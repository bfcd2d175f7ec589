"""The one module that knows zstd: the standard library's of Python 3.14, its backport before; extra ``zstd``.

The more common ``zstandard`` returns what there is of a frame that is cut off, and raises nothing.
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


def compress(data: bytes, level: int) -> bytes:
    """Return ``data`` as one frame."""
    return zstd.compress(data, level)


def decompress(data: bytes, limit: int) -> bytes:
    """Return what the frame ``data`` holds, if that is at most ``limit`` bytes; needs not much more memory.

    :raises ValueError: when it is more, or ``data`` is not one whole frame.
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
