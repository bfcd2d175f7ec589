"""Read-through: load a batch from the far tier (L2) first, then from the source what is not there."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic

from anyio import CancelScope

from async_backfill._far.claims import Claim
from async_backfill._far.reads import Look
from async_backfill._loading.batch import BatchState
from async_backfill._loading.batch_calls import Answer
from async_backfill.contracts import K, V

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from async_backfill._far.lease_waits import LeaseWaits
    from async_backfill._far.leasing import Acquired, Leasing
    from async_backfill._far.reads import FarReads
    from async_backfill._far.writes import FarWrites
    from async_backfill._loading.batch import Batch
    from async_backfill._loading.batch_calls import BatchCalls
    from async_backfill._loading.parts import BatchParts
    from async_backfill._loading.timed_call import Ended
    from async_backfill.records import CircuitState


class ReadThrough(Generic[K, V]):
    """Loads batches from the far tier first, then through ``source_calls`` what is not there.

    It takes the place of ``source_calls`` in the loader, inside the key locks: so the batch that the locks
    made is read in one call (decision 37 in notes.md). A failing or slow far tier is never an error,
    and costs at most its timeout. Each key lands when its own answer comes: what was found does not wait
    for the source, and neither waits for what other processes load.

    :param source_calls: calls the source.
    :param parts: splits batches.
    :param claims: what the batches that ask the source have of the far tier.
    :param waits: waits for the leases of other processes; ``None`` without leases.
    """

    def __init__(
        self,
        source_calls: BatchCalls[K, V],
        parts: BatchParts[K, V],
        claims: dict[Batch[K, V], Claim[K]],
        *,
        reads: FarReads[K, V],
        writes: FarWrites[K, V],
        leasing: Leasing[K, V] | None,
        waits: LeaseWaits[K, V] | None,
    ) -> None:
        self._source_calls = source_calls
        self._parts = parts
        self._claims = claims
        self._reads = reads
        self._writes = writes
        self._leasing = leasing
        self._waits = waits

    @property
    def circuit(self) -> CircuitState | None:
        """The state of the source's circuit; ``None`` when there is none."""
        return self._source_calls.circuit

    async def load(self, batch: Batch[K, V], scope: CancelScope) -> Answer[K, V] | Ended[K, V]:
        """Load ``batch`` from the far tier, and the rest from the source; see `BatchCalls.load`."""
        if batch in self._claims:  # a part that has been read
            return await self._ask(batch, scope)
        if not batch.is_landed:
            batch.state = BatchState.LOADING
        keys = tuple(batch.keys)
        # A key whose explicit change is not confirmed is not read from the far tier, which may still
        # hold its old value: decision 39 in notes.md.
        unsettled: Sequence[K] = ()
        if not self._writes.all_settled:
            unsettled = [key for key in keys if self._writes.is_unsettled(key)]
            keys = tuple(key for key in keys if not self._writes.is_unsettled(key))
            self._writes.nudge(next(iter(batch.keys)))
        look: Look[K, V] = Look()
        acquired: Acquired[K] | None = None
        with _interruptible(batch):
            look = await self._reads.look(keys, batch.cause)
            if self._leasing is not None and not look.failed:
                acquired = await self._leasing.acquire(look.rest, look.outdated)
        if batch.is_landed:
            if self._leasing is not None:
                self._leasing.give_back(acquired)
            return Answer({})
        return await self._share_out(batch, scope, unsettled, look, acquired)

    async def _share_out(
        self,
        batch: Batch[K, V],
        scope: CancelScope,
        unsettled: Sequence[K],
        look: Look[K, V],
        acquired: Acquired[K] | None,
    ) -> Answer[K, V] | Ended[K, V]:
        """Ask the source for what must be asked for; the others land now, or wait in parts of their own."""
        mine = look.rest if acquired is None else [key for key in look.rest if key in acquired.mine]
        if self._waits is not None and len(mine) < len(look.rest):
            awaited = set(look.rest).difference(mine)
            self._waits.start(self._parts.split(batch, [key for key in look.rest if key in awaited]))
        asked = (*unsettled, *mine)
        batch.copies = look.copies
        if not asked:
            return Answer(look.found)
        claim = Claim(
            mine={} if acquired is None else acquired.mine,
            outdated=look.outdated.intersection(mine),
            stale=look.stale,
        )
        if look.found:
            part = self._parts.split(batch, asked)
            self._claims[part] = claim
            self._parts.go_on(part)
            return Answer(look.found)
        self._claims[batch] = claim
        return await self._ask(batch, scope)

    async def _ask(self, batch: Batch[K, V], scope: CancelScope) -> Answer[K, V] | Ended[K, V]:
        most = self._source_calls.max_batch
        if len(batch.keys) > most and batch.begun is None and not batch.is_landed:
            # The source takes fewer keys at once than the far tier: each call of it lands by itself.
            whole = self._claims.pop(batch, None) or Claim[K]()
            for part, keys in self._parts.split_up(batch, most):
                self._claims[part] = whole.of(keys)
            return Answer({})
        self._writes.sealed.begin(batch)
        answer = await self._source_calls.load(batch, scope)
        # An abandoned call answers after its batch has landed: loads do not usually take so long.
        if self._waits is not None and answer.error is None and not batch.is_landed:
            self._waits.usual.took(answer.seconds)
        claim = self._claims.get(batch)
        await self._writes.sealed.seal_early(batch, answer.found)
        return answer if claim is None or not claim.stale else claim.stale.in_place_of(answer, batch)


@contextmanager
def _interruptible(batch: Batch[Any, Any]) -> Iterator[None]:
    """Make what is awaited inside ``with`` end when ``batch`` is given up."""
    with CancelScope() as scope:
        batch.scope = scope
        try:
            yield
        finally:
            batch.scope = None
