"""Kinds of keys: a database takes all keys of one kind, or none of them."""

from __future__ import annotations

from datetime import datetime, time
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from async_backfill.errors import ConfigurationError
from async_backfill.outcomes import Failed
from async_backfill.sources.sql._errors import KeysRefusedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from async_backfill.contracts import K, V

_BITS: Final = (15, 31, 63)  # those of the whole numbers of SQL, without the sign


async def load_by_kind(
    keys: Sequence[K], load: Callable[[list[K]], Awaitable[Mapping[K, V | Failed]]]
) -> Mapping[K, V | Failed]:
    """Return the answers of ``load``; when it refuses ``keys``, those of one load for each kind of them.

    Drivers refuse a whole batch for one key: a number beyond the column's, or an ``int`` beside a `Decimal`.

    :raises KeysRefusedError: when all are refused.
    """
    try:
        return await load(list(keys))
    except KeysRefusedError:
        if len(kinds := _by_kind(keys)) == 1:
            raise
    found: dict[K, V | Failed] = {}
    refused: dict[K, Failed] = {}
    for alike in kinds:
        try:
            found.update(await load(alike))
        except (KeysRefusedError, ConfigurationError) as error:  # the latter for keys of another type
            refused.update(dict.fromkeys(alike, Failed(error)))
            if len(refused) == len(keys):
                raise
    return {**refused, **found}


def _by_kind(keys: Sequence[K]) -> list[list[K]]:
    kinds: dict[object, list[K]] = {}
    for key in keys:
        kinds.setdefault(_kind(key), []).append(key)
    return list(kinds.values())


def _kind(key: Any) -> object:
    if type(key) is int:
        bits = (key if key >= 0 else ~key).bit_length()
        return int, next((most for most in _BITS if bits <= most), None)
    if isinstance(key, float | Decimal):
        return type(key), isfinite(key)
    if isinstance(key, datetime | time):
        return type(key), key.tzinfo is None
    return type(key)
