"""Changes with values as they are now: no caller has them yet, and any may change them later."""

from __future__ import annotations

from collections.abc import Sized
from typing import TYPE_CHECKING, Final, Generic

from anyio.lowlevel import checkpoint

from async_backfill._far.changes import Change, PendingChange
from async_backfill.contracts import K, V
from async_backfill.outcomes import ABSENT, Failed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from async_backfill._far.changes import PendingChanges
    from async_backfill._far.guarded_calls import GuardedCalls
    from async_backfill._loading.batch import Batch
    from async_backfill.contracts import Sealing
    from async_backfill.far_tier import FarTier
    from async_backfill.outcomes import Absent

_SAMPLE: Final = 8
_MOST: Final = 1_000_000  # bytes, which take a few milliseconds


class SealedChanges(Generic[K, V]):
    """Makes pending changes of values, sealed; those that the store cannot keep are left out and counted.

    ``now``
        the clock by which the begin of a load is told: that of the store, if it is a `GuardedStore`.
    """

    def __init__(self, tier: FarTier[K, V], calls: GuardedCalls) -> None:
        self._sealing = tier.sealing
        self.is_guarded = tier.guarded is not None
        self.now: Callable[[], float] = calls.clock if tier.guarded is None else tier.guarded.now
        self._calls = calls
        self._since: dict[Batch[K, V], float] = {}
        self._early: dict[Batch[K, V], dict[K, V | Absent]] = {}

    def begin(self, batch: Batch[K, V]) -> None:
        """Take note that the load of ``batch`` begins now: the age of its values counts from here."""
        if not batch.is_landed:
            self._since.setdefault(batch, self.now())

    async def seal_early(self, batch: Batch[K, V], found: Mapping[K, V | Failed]) -> None:
        """Seal what was ``found`` for ``batch`` before it lands, if it is too much for the step of landing.

        Nobody has these values yet. The event loop gets a turn after each megabyte or so; how much there is
        shows in the first few, so a batch of small values costs no more than before.
        """
        values = {key: value for key, value in found.items() if not isinstance(value, Failed)}
        if self._sealing is None or len(values) <= _SAMPLE:
            return
        early: dict[K, V | Absent] = {}
        left, size, step = list(values), 0, _SAMPLE
        while left and not batch.is_landed:
            some, left = left[:step], left[step:]
            sealed = self._seal(self._sealing, {key: values[key] for key in some}, self._since.get(batch))
            early.update((key, sealed.get(key, ABSENT)) for key in some)
            size = sum(len(value) for value in sealed.values() if isinstance(value, Sized))
            if size * len(left) < _MOST * len(some):
                break
            step = max(1, _MOST * len(some) // size)
            await checkpoint()
        if not batch.is_landed:
            self._early[batch] = early

    def landed(self, batch: Batch[K, V]) -> None:
        """Forget what was noted and sealed early of ``batch``, whose changes were made."""
        self._early.pop(batch, None)
        self._since.pop(batch, None)

    def loaded(self, batch: Batch[K, V], keys: Sequence[K]) -> PendingChanges[K, V]:
        """Return the changes for what ``batch`` brought from the source for ``keys``."""
        loaded = {key: value for key, value in batch.values(keys).items() if key not in batch.copies}
        values, since = self._sealed(loaded, batch), self._since_of(batch)
        return {key: PendingChange(Change.LOADED, values.get(key, ABSENT), since=since) for key in loaded}

    def leased(
        self,
        batch: Batch[K, V],
        values: Mapping[K, V],
        tokens: Mapping[K, bytes],
        told: Mapping[K, Absent | Failed],
    ) -> PendingChanges[K, V]:
        """Return the changes that end the leases of ``tokens``, with ``values`` where there are any."""
        sealed, since = self._sealed(values, batch), self._since_of(batch)
        refused = set(values).difference(sealed) if len(sealed) < len(values) else ()
        return {
            key: PendingChange(
                Change.LEASED,
                sealed.get(key, ABSENT),
                token,
                told.get(key),
                since,
                is_refused=key in refused,
            )
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

    def _sealed(self, values: Mapping[K, V], batch: Batch[K, V] | None = None) -> Mapping[K, V]:
        """Return ``values`` as they are now, for the store, without those that it cannot keep."""
        if self._sealing is None or not values:
            return values
        early = {} if batch is None else self._early.get(batch, {})
        rest = {key: value for key, value in values.items() if key not in early} if early else values
        since = None if batch is None else self._since.get(batch)
        sealed: Mapping[K, V] = self._seal(self._sealing, rest, since) if rest else {}
        if early:
            sealed = {**sealed, **{key: it for key in values if (it := early.get(key, ABSENT)) is not ABSENT}}
        self._calls.unwritten += len(values) - len(sealed)
        return sealed

    def _since_of(self, batch: Batch[K, V]) -> float:
        since = self._since.get(batch)
        return self.now() if since is None else since

    def _seal(self, sealing: Sealing[K, V], values: Mapping[K, V], since: float | None) -> Mapping[K, V]:
        try:
            return sealing.seal(values, read_at=since) if self.is_guarded else sealing.seal(values)
        except Exception as error:  # noqa: BLE001 - a load must not fail because of a store
            self._calls.report("seal", error)
            return {}
