"""Compress large values in Redis with zstd; needs the extra ``zstd``."""

from __future__ import annotations

from async_backfill._envelopes.compression import Zstd

__all__ = ["Zstd"]
