"""The lock of each key (single flight): held while the key is being loaded, later callers wait for it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Generic

from async_backfill._loading.batch import is_found_again
from async_backfill.contracts import K, V

if TYPE_CHECKING:
    from collections.abc import Iterable

    from async_backfill._loading.batch import Batch


class KeyLocks(Generic[K, V]):
    """The batch that holds the lock of each key: the form of a lock known as *single flight*.

    A lock exists only while its key is being loaded. It can be revoked: the load goes on and serves
    its waiters, but may no longer store the key, and the next caller starts a new load (the lease rule
    of Nishtala et al., "Scaling Memcache at Facebook", NSDI 2013, section 3.2.1).
    """

    __slots__ = ("_has_odd", "holders")

    def __init__(self) -> None:
        self._has_odd = False  # whether the code of a key raised since the last `forget`
        self.holders: dict[K, Batch[K, V]] = {}
        """The batch that holds the lock of each key; hot paths use it directly, to save a call."""

    def __len__(self) -> int:
        return len(self.holders)

    def __contains__(self, key: object) -> bool:
        return key in self.holders

    def holder(self, key: K) -> Batch[K, V] | None:
        """Return the batch that holds the lock of ``key``, or ``None``."""
        return self.holders.get(key)

    def take(self, key: K, batch: Batch[K, V]) -> None:
        """Give the lock of ``key`` to ``batch``."""
        self.holders[key] = batch

    def take_many(self, keys: Iterable[K], batch: Batch[K, V]) -> None:
        """Give the locks of ``keys`` to ``batch``."""
        self.holders.update(dict.fromkeys(keys, batch))

    def revoke(self, keys: Iterable[K]) -> None:
        """Remove the locks of ``keys`` from the batches that hold them."""
        for key in keys:
            self.holders.pop(key, None)

    def revoke_all(self) -> None:
        """Remove every lock."""
        self.holders.clear()

    def held(self, batch: Batch[K, V]) -> list[K]:
        """Return the keys whose lock ``batch`` still holds, in their order."""
        holders = self.holders
        try:
            return [key for key in batch.keys if holders.get(key) is batch]
        except Exception:  # noqa: BLE001 - the code of a key raised, which must cost that key alone
            self._has_odd = True
            return [key for key in batch.keys if self._is_held(key, batch)]

    def _is_held(self, key: K, batch: Batch[K, V]) -> bool:
        try:
            return self.holders.get(key) is batch
        except Exception:  # noqa: BLE001 - as above
            return False

    def forget(self, batch: Batch[K, V]) -> None:
        """Release the locks of ``batch`` under keys that are not found: their hash has changed, or raises."""
        holders = self.holders
        with suppress(Exception):  # of the code of a key
            if not self._has_odd and all(is_found_again(key, batch.keys) for key in batch.keys):
                return
        self._has_odd = False
        left = [(key, holder) for key, holder in holders.items() if holder is not batch]
        holders.clear()
        for key, holder in left:
            with suppress(Exception):  # as above
                holders[key] = holder

    def release(self, batch: Batch[K, V], keys: Iterable[K]) -> int:
        """Release those locks of ``keys`` that ``batch`` still holds, and return how many."""
        released = 0
        holders = self.holders
        try:
            for key in keys:
                if holders.get(key) is batch:
                    del holders[key]
                    released += 1
        except Exception:  # noqa: BLE001 - as above
            self._has_odd = True
            self.forget(batch)
            for key in keys:
                if self._is_held(key, batch):
                    del holders[key]
        return released
