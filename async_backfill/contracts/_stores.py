"""What a cache keeps values in: a store, how full it is, and its eviction order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from async_backfill.contracts._types import K, K_co, V

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from async_backfill.outcomes import Absent


class Store(Protocol[K, V]):
    """Where copies are: in this process, synchronous, and never more than its capacity.

    It holds values, never loads in progress. Nothing in it waits, so what the cache does between
    two awaits is one indivisible step.
    """

    @property
    def read(self) -> Callable[[K, Absent], V | Absent]:
        """Return what a hit calls: the value of a key, else the default; the key counts as used."""
        ...

    def peek(self, key: K, default: Absent, /) -> V | Absent:
        """Return the value of ``key``, else ``default``; changes nothing."""
        ...

    def set_many(self, items: Mapping[K, V], /, *, evict: bool = True) -> Sequence[K]:
        """Add or replace ``items`` in their order; return the keys that were evicted for them.

        Without ``evict`` nobody is: a new key for which there is no room is left out.
        """
        ...

    def delete_many(self, keys: Iterable[K], /) -> None:
        """Remove ``keys``; those that are not there are ignored."""
        ...

    def clear(self) -> None:
        """Remove everything."""
        ...


class Room(Protocol[K_co]):
    """How full a store is, and who leaves next."""

    def __len__(self) -> int:
        """Return the number of entries."""
        ...

    def free_room(self) -> int | None:
        """Return how many keys can be added before one is evicted; ``None`` without a limit."""
        ...

    def evict_oldest(self) -> K_co:
        """Remove and return the key that the eviction order names next; `LookupError` when empty."""
        ...

    @property
    def capacity(self) -> int | None:
        """Entries held at the most; ``None`` without a limit."""
        ...

    @property
    def removals(self) -> int:
        """How many times something left, for whatever reason; it never goes back."""
        ...


class BoundedStore(Store[K, V], Room[K], Protocol[K, V]):
    """A store that knows how full it is: what the cache needs."""


class OrderState(Protocol[K]):
    """What of an eviction order the store and its hits use themselves, because a call would cost more."""

    @property
    def touch(self) -> Callable[[K], object] | None:
        """Return what takes note of a hit of a key in the store; ``None`` when hits do not matter."""
        ...

    @property
    def hit_counts(self) -> dict[K, int] | None:
        """Return where a hit may count itself, up to 3, instead of a call of ``touch``; else ``None``."""
        ...

    @property
    def entries(self) -> dict[K, Any] | None:
        """Return a dict that stands in this order, for the store to keep its values in, if there is one.

        What `add`, `evict` and `discard` do to a key, they do to its entry.
        """
        ...


class EvictionOrder(OrderState[K], Protocol[K]):
    """Who leaves a full store next: pure bookkeeping over keys, each method in constant time."""

    def add(self, key: K, /, *, proven: bool = False) -> None:
        """Take note of a key that was not in the store and now is.

        A ``proven`` one has been read already, while it was on probation.
        """
        ...

    def discard(self, key: K, /) -> None:
        """Take note that a key, which was in the store, was removed."""
        ...

    def evict(self) -> K:
        """Forget and return the key that must leave; `LookupError` when there is none."""
        ...

    def clear(self) -> None:
        """Forget all keys."""
        ...
