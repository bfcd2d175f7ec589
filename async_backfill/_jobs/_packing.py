"""Keys and cursors as bytes, for the state: they come back with the types that they had."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from async_backfill._common.key_codec import KeyCodec

if TYPE_CHECKING:
    from collections.abc import Hashable


def pack(key: Any) -> bytes:
    """Return a key, or a cursor, as bytes.

    :raises KeyRefusedError: when it is of a class that cannot come back.
    """
    return _codec().encode(cast("Hashable", key))


def unpack(data: bytes) -> Any:
    """Return what `pack` made into ``data``.

    :raises ValueError: when it is damaged.
    """
    return _codec().decode(data)


def _codec() -> KeyCodec:
    return KeyCodec(exact=True)
