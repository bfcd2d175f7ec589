"""Copies in the far tier (L2) that are too old to be fresh: they answer where the source cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from async_backfill.contracts import K, V
from async_backfill.outcomes import Failed

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from async_backfill.contracts import FarCopy


class StaleCopies(Generic[K, V]):
    """The copies of one batch whose ttl is over, but not the time that they may be served after it."""

    def __init__(self) -> None:
        self._copies: dict[K, tuple[V, float]] = {}

    def __bool__(self) -> bool:
        return bool(self._copies)

    def keep(self, key: K, copy: FarCopy[V], left: float, stale_for: float) -> None:
        """Keep ``copy`` of ``key`` if it is stale: ``left`` seconds fresh, which is 0.0 or less."""
        if -stale_for < left <= 0.0:
            self._copies[key] = (copy.value, left)

    def answer(self, found: MutableMapping[K, V | Failed], copies: MutableMapping[K, float]) -> None:
        """Answer the keys that failed in ``found``, and note in ``copies`` that they are stale."""
        for key, (value, left) in self._copies.items():
            if isinstance(found.get(key), Failed):
                found[key], copies[key] = value, left
