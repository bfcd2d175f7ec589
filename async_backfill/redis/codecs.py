"""Codecs for values that `RedisStore` does not take by itself: of pydantic, and of functions of yours."""

from __future__ import annotations

from async_backfill._envelopes.codecs import FunctionCodec, PydanticCodec

__all__ = ["FunctionCodec", "PydanticCodec"]
