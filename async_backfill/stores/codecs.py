"""Codecs and compression for values of a `SQLiteStore`; `async_backfill.redis` has the same."""

from __future__ import annotations

from async_backfill._envelopes.codecs import FunctionCodec, PydanticCodec
from async_backfill._envelopes.compression import Zstd

__all__ = ["FunctionCodec", "PydanticCodec", "Zstd"]
