"""The answers to a lookup of many keys, some of which may have failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

from async_backfill.contracts._types import K, V

if TYPE_CHECKING:
    from collections.abc import Mapping

    from async_backfill.errors import LoadError


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers(Generic[K, V]):
    """What `BackfillCache.try_many` found out: each key that was asked for is in exactly one of the three.

    ``values``
        the values of the keys that exist, fresh or stale.
    ``absent``
        the keys that the source does not have.
    ``failed``
        the keys that could not be loaded, each with the error that `BackfillCache.get` would have raised.

    All are in the order in which the keys were asked for.
    """

    values: Mapping[K, V]
    absent: tuple[K, ...]
    failed: Mapping[K, LoadError]
