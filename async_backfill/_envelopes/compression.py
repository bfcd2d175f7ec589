"""Compress large values in a far store with zstd; needs the extra ``zstd``."""

from __future__ import annotations

from typing import Final

from async_backfill._common.extras import needed_by
from async_backfill._common.validation import whole
from async_backfill.errors import ConfigurationError

__all__ = ["Zstd"]

_SMALLEST: Final = 19


class Zstd:
    """Zstandard compression of large payloads: ``RedisStore(..., compression=Zstd())``.

    :param above: the size in bytes above which a payload is compressed, 0 or more.
    :param level: the compression level, from 1 (fast) to 19 (small).
    :raises ConfigurationError: when a setting is not allowed.
    """

    def __init__(self, *, above: int = 1_000, level: int = 3) -> None:
        self.above = whole("above", above, least=0)
        self._level = whole("level", level, least=1)
        if self._level > _SMALLEST:
            raise ConfigurationError("level", f"must be at most {_SMALLEST}, not {level}")
        with needed_by("Zstd", "zstd", "backports"):
            from async_backfill._common import zstd  # noqa: PLC0415 - the extra is optional
        self._zstd = zstd

    def compress(self, payload: bytes, /) -> bytes:
        """Return ``payload`` compressed into one frame."""
        return self._zstd.compress(payload, self._level)

    def decompress(self, payload: bytes, limit: int, /) -> bytes:
        """Return the content of one frame; raise `ValueError` when it is damaged or longer than ``limit``."""
        return self._zstd.decompress(payload, limit)
