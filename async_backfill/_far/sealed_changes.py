"""Changes with values as they are now: no caller has them yet, and any may change them later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from async_backfill._far.changes import Change, PendingChange
from async_backfill.contracts import K, V
from async_backfill.outcomes import ABSENT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from async_backfill._far.changes import PendingChanges
    from async_backfill._far.guarded_calls import GuardedCalls
    from async_backfill._loading.batch import Batch
    from async_backfill.contracts import Sealing
    from async_backfill.outcomes import Absent, Failed


class SealedChanges(Generic[K, V]):
    """Makes pending changes of values, sealed; those that the store cannot keep are left out and counted.

    :param sealing: the ability of the store to take values as they are now; ``None`` without it.
    """

    def __init__(self, sealing: Sealing[K, V] | None, calls: GuardedCalls) -> None:
        self._sealing = sealing
        self._calls = calls

    def loaded(self, batch: Batch[K, V], keys: Sequence[K]) -> PendingChanges[K, V]:
        """Return the changes for what ``batch`` brought from the source for ``keys``."""
        loaded = {key: value for key, value in batch.values(keys).items() if key not in batch.copies}
        values = self._sealed(loaded)
        return {key: PendingChange(Change.LOADED, values.get(key, ABSENT)) for key in loaded}

    def leased(
        self, values: Mapping[K, V], tokens: Mapping[K, bytes], told: Mapping[K, Absent | Failed]
    ) -> PendingChanges[K, V]:
        """Return the changes that end the leases of ``tokens``, with ``values`` where there are any."""
        values = self._sealed(values)
        return {
            key: PendingChange(Change.LEASED, values.get(key, ABSENT), token, told.get(key))
            for key, token in tokens.items()
        }

    def put(self, items: Mapping[K, V]) -> PendingChanges[K, V]:
        """Return the changes for an explicit put; a value that the store cannot keep is removed there."""
        values = self._sealed(items)
        return {
            key: PendingChange(Change.PUT, values[key])
            if key in values
            else PendingChange(Change.DELETED, ABSENT)
            for key in items
        }

    def _sealed(self, values: Mapping[K, V]) -> Mapping[K, V]:
        """Return ``values`` as they are now, for the store, without those that it cannot keep."""
        if self._sealing is None or not values:
            return values
        sealed: Mapping[K, V] = {}
        try:
            sealed = self._sealing.seal(values)
        except Exception as error:  # noqa: BLE001 - a load must not fail because of a store
            self._calls.report("seal", error)
        self._calls.unwritten += len(values) - len(sealed)
        return sealed
