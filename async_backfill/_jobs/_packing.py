"""Keys and cursors as bytes, for the state: they come back with the types that they had."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, cast

from async_backfill._common.error_text import key_text
from async_backfill._common.key_codec import KeyCodec
from async_backfill.errors import KeyRefusedError

if TYPE_CHECKING:
    from collections.abc import Hashable


def pack(key: Any) -> bytes:
    """Return a key, or a cursor, as bytes.

    :raises KeyRefusedError: when it is of a class that cannot come back.
    """
    return _codec().encode(cast("Hashable", key))


def pack_or_text(key: Any) -> bytes:
    """Return a key as bytes; of one that cannot come back its text, which can only be shown."""
    try:
        return pack(key)
    except KeyRefusedError:  # of a class of the user's
        return pack(key_text(key))


def unpack(data: bytes) -> Any:
    """Return what `pack` made into ``data``.

    :raises ValueError: when it is damaged.
    """
    return _codec().decode(data)


@cache  # to make one takes a hundred times as long as a key
def _codec() -> KeyCodec:
    return KeyCodec(exact=True)
