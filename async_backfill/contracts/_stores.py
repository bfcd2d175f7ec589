"""The store that a cache keeps values in, its room, and its eviction order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from async_backfill.contracts._types import K, K_co, V

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from async_backfill.outcomes import Absent


class Store(Protocol[K, V]):
    """The near tier (L1): copies in this process's memory, synchronous, never more than its capacity.

    It holds values, never loads in progress. None of its methods waits, so all that the cache does
    between two awaits is one indivisible step.
    """

    @property
    def read(self) -> Callable[[K, Absent], V | Absent]:
        """The function that a hit calls: returns the value of a key, else the default; counts as a use."""
        ...

    def peek(self, key: K, default: Absent, /) -> V | Absent:
        """Return the value of ``key``, else ``default``; does not count as a use."""
        ...

    def set_many(self, items: Mapping[K, V], /, *, evict: bool = True) -> Sequence[K]:
        """Add or replace ``items`` in their order; return the keys that were evicted for them.

        With ``evict=False`` none is evicted: a new key for which there is no room is left out.
        """
        ...

    def delete_many(self, keys: Iterable[K], /) -> None:
        """Remove ``keys``; keys that the store does not hold are ignored."""
        ...

    def clear(self) -> None:
        """Remove everything."""
        ...


class Room(Protocol[K_co]):
    """The size and the limit of a store, and the eviction of one key."""

    def __len__(self) -> int:
        """Return the number of entries."""
        ...

    def free_room(self) -> int | None:
        """Return how many keys can be added before one is evicted; ``None`` without a limit."""
        ...

    def evict_oldest(self) -> K_co:
        """Remove and return the key that is next in the eviction order; `LookupError` when empty."""
        ...

    @property
    def capacity(self) -> int | None:
        """The largest number of entries; ``None`` without a limit."""
        ...

    @property
    def removals(self) -> int:
        """How many times entries were removed, for any reason; it only increases."""
        ...


class BoundedStore(Store[K, V], Room[K], Protocol[K, V]):
    """A `Store` with `Room`: what a cache needs."""


class OrderState(Protocol[K]):
    """The state of an eviction order that the store and hits use directly, because a call would be slower."""

    @property
    def touch(self) -> Callable[[K], object] | None:
        """The function that records a hit of a key in the store; ``None`` when hits do not matter."""
        ...

    @property
    def hit_counts(self) -> dict[K, int] | None:
        """The dict in which a hit may count itself, up to 3, instead of calling ``touch``; else ``None``."""
        ...

    @property
    def entries(self) -> dict[K, Any] | None:
        """The dict, kept in this order, in which the store keeps its values; ``None`` when there is none.

        `EvictionOrder.add`, `evict` and `discard` add and remove the entry along with the key.
        """
        ...


class EvictionOrder(OrderState[K], Protocol[K]):
    """The order in which a full store evicts keys: pure bookkeeping, each method in constant time."""

    def add(self, key: K, /, *, proven: bool = False) -> None:
        """Record that a key was added to the store.

        ``proven`` means that it has already been read, while it was on probation.
        """
        ...

    def discard(self, key: K, /) -> None:
        """Record that a key was removed from the store."""
        ...

    def evict(self, *, again: bool = False) -> K:
        """Forget and return the key to evict next; `LookupError` when there is none.

        :param again: whether others were evicted in the same step, so that this one must do little work.
        """
        ...

    def clear(self) -> None:
        """Forget all keys."""
        ...


class ResumableOrder(Protocol[K]):
    """The ability of an eviction order to be taken up by another process where this one stopped."""

    def queues(self) -> Sequence[Iterable[K]]:
        """Return the keys of each of its queues as they are now, to be read by and by.

        In each, the key that is evicted last comes first.
        """
        ...

    def hits(self, key: K, /) -> int:
        """Return how many hits of ``key`` speak for it."""
        ...

    def remembers(self, key: K, /) -> bool:
        """Return whether ``key`` was evicted, and that is remembered."""
        ...

    def resume(self, key: K, queue: int, hits: int, /) -> None:
        """Add ``key``, a new one, behind the keys of that queue: it is evicted before them."""
        ...

    def remember(self, keys: Iterable[K], /) -> None:
        """Remember that ``keys`` were evicted, in this order, if that matters."""
        ...
