"""A store in this process's memory, bounded by weight, such as bytes, that your function measures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_backfill._common.validation import whole
from async_backfill.contracts import K, V
from async_backfill.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from async_backfill.stores._eviction.orders import Eviction

__all__ = ["WeighedStore"]


class WeighedStore(MemoryStore[K, V]):
    """A `MemoryStore` whose entries weigh at most ``max_weight`` together.

    An entry is weighed once, when it is added. An entry that is heavier than ``max_weight`` by itself
    is not kept. One that is as heavy as a million others evicts them in one step, which holds the event loop
    for half a second: where that hurts, let ``weigh`` return a ten-thousandth of ``max_weight`` or more.

    :param max_weight: the largest total weight, 1 or more, in the unit of ``weigh``.
    :param weigh: returns the weight of a key and its value, a whole number of 0 or more.
    :param capacity: the largest number of entries, in addition; ``None`` for no limit.
    :param eviction: the name of the eviction order; first in, first out by default.
    :raises ConfigurationError: for any other limit, and from `set_many` for any other weight.
    """

    __slots__ = ("_max_weight", "_weigh", "_weight", "_weights")

    def __init__(
        self,
        max_weight: int,
        weigh: Callable[[K, V], int],
        *,
        capacity: int | None = None,
        eviction: Eviction = "fifo",
    ) -> None:
        super().__init__(capacity, eviction=eviction)
        self._max_weight = whole("max_weight", max_weight, least=1)
        self._weigh = weigh
        self._weights: dict[K, int] = {}
        self._weight = 0

    @property
    def weight(self) -> int:
        """The total weight of the entries."""
        return self._weight

    def set_many(self, items: Mapping[K, V], /, *, evict: bool = True) -> Sequence[K]:
        """Add or replace ``items`` as `MemoryStore.set_many` does, within the weight as well."""
        # All before the first is added, so that nothing has changed when one cannot be weighed.
        weights = {key: whole("weigh", self._weigh(key, value), least=0) for key, value in items.items()}
        evicted: list[K] = []
        for key, value in items.items():
            evicted.extend(self._set(key, value, weights[key], evict=evict, again=bool(evicted)))
        return evicted

    def resume(self, items: Mapping[K, V], places: Mapping[K, tuple[int, int]]) -> Sequence[K]:
        """Add ``items`` as `MemoryStore.resume` does, as far as they fit within the weight."""
        added: list[K] = []
        for key, value in items.items():
            weight = whole("weigh", self._weigh(key, value), least=0)
            if self._weight + weight <= self._max_weight and super().resume({key: value}, places):
                self._weights[key] = weight
                self._weight += weight
                added.append(key)
        return added

    def delete_many(self, keys: Iterable[K], /) -> None:
        """Remove ``keys``; keys that the store does not hold are ignored."""
        for key in keys:
            self._weight -= self._weights.pop(key, 0)
            super().delete_many((key,))

    def clear(self) -> None:
        """Remove everything."""
        super().clear()
        self._weights.clear()
        self._weight = 0

    def free_room(self) -> int | None:
        """Return how many keys of the current average weight can be added before one is evicted.

        ``None`` when there is no average yet and no ``capacity``.
        """
        places = super().free_room()
        if not self._weight:
            return places
        by_weight = (self._max_weight - self._weight) * len(self) // self._weight
        return by_weight if places is None else min(places, by_weight)

    def evict_oldest(self, *, again: bool = False) -> K:
        """Remove and return the key that is next in the eviction order; see `MemoryStore.evict_oldest`."""
        key = super().evict_oldest(again=again)
        self._weight -= self._weights.pop(key)
        return key

    def _set(self, key: K, value: V, weight: int, *, evict: bool, again: bool) -> Sequence[K]:
        others = self._weight - self._weights.get(key, 0)
        if weight > self._max_weight or (not evict and others + weight > self._max_weight):
            self.delete_many((key,))  # the old value must not outlive the new one
            return ()
        evicted: list[K] = []
        # The old value of the key counts until it is replaced, and may be evicted itself.
        while self._weight - self._weights.get(key, 0) + weight > self._max_weight or (
            evict and self._capacity and len(self) == self._capacity and key not in self._entries
        ):
            evicted.append(self.evict_oldest(again=again or bool(evicted)))
        super().set_many({key: value}, evict=evict)
        if key in self._entries:
            self._weight += weight - self._weights.get(key, 0)
            self._weights[key] = weight
        return [gone for gone in evicted if gone != key]
