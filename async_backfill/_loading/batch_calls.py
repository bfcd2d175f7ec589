"""The source calls of one batch: usually one, none while the circuit is open, more to find a bad key."""

from __future__ import annotations

from contextvars import copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol

from async_backfill._loading.batch import BatchState
from async_backfill._loading.bisection import isolate
from async_backfill._loading.circuit_breaker import Circuit
from async_backfill._loading.timed_call import Ended, call_source
from async_backfill.contracts import K, V
from async_backfill.errors import CircuitOpenError
from async_backfill.outcomes import Failed
from async_backfill.records import CircuitState

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from contextvars import Context

    from anyio import CancelScope

    from async_backfill._loading.batch import Batch
    from async_backfill._loading.overdue import Overdue
    from async_backfill.contracts import Clock, Source
    from async_backfill.policies import LoadPolicy


@dataclass(slots=True)  # a frozen one takes three times as long to make, once for each load
class Answer(Generic[K, V]):
    """The outcome of a batch that took more than one source call, or none.

    ``must_stop``
        whether the task must end because of the error.
    ``stopped``
        whether a call was cancelled.
    ``seconds``
        how long the first call took.
    ``calls``
        all source calls of the batch, in order.
    """

    found: Mapping[K, V | Failed]
    error: BaseException | None = None
    must_stop: bool = False
    stopped: bool = False
    seconds: float = 0.0
    calls: Sequence[Ended[K, V]] = ()


class BatchLoader(Protocol[K, V]):
    """Loads the batches of a loader: a `BatchCalls`, or a wrapper of one."""

    @property
    def circuit(self) -> CircuitState | None:
        """See `BatchCalls.circuit`."""
        ...

    async def load(self, batch: Batch[K, V], scope: CancelScope) -> Answer[K, V] | Ended[K, V]:
        """See `BatchCalls.load`."""
        ...


class BatchCalls(Generic[K, V]):
    """Calls the source for batches, with the timeout, circuit and splitting of ``policy``.

    Each call runs in a copy of a context, so what a source sets there is seen by that call only: that of the
    first caller, or the one that this was made in.

    :param max_batch: keys of one call at the most; whoever splits batches must keep to it.
    :param circuit_changed: see `Circuit`.
    """

    def __init__(
        self,
        source: Source[K, V],
        policy: LoadPolicy,
        *,
        max_batch: int,
        clock: Clock,
        overdue: Overdue[K, V],
        circuit_changed: Callable[[CircuitState, int], object],
    ) -> None:
        self.max_batch = max_batch
        self.context = copy_context()
        self.in_context_of_caller = policy.context == "caller"
        self.source = source
        self._policy = policy
        self.clock = clock
        self._overdue = overdue
        # The batches whose call the circuit admitted: whether as a probe, and whether a failure counts.
        self._admitted: dict[Batch[K, V], tuple[bool, bool]] = {}
        self._circuit = None if policy.circuit is None else Circuit(policy.circuit, clock, circuit_changed)

    @property
    def circuit(self) -> CircuitState | None:
        """The state of the circuit; ``None`` when there is none."""
        return None if self._circuit is None else self._circuit.state

    async def load(self, batch: Batch[K, V], scope: CancelScope) -> Answer[K, V] | Ended[K, V]:
        """Return the source's answer to ``batch``; raise only a cancellation of the whole cache.

        :param scope: cancel scope of the task; see `call_source`.
        """
        keys = tuple(batch.keys)
        if self._overdue.is_full and batch.begun is None:
            return Answer({}, self._overdue.refusal())
        if self._circuit is None:
            first = await self._ask(batch, keys, scope)
        else:
            answer = await self._call(batch, keys, scope)
            if isinstance(answer, CircuitOpenError):
                return Answer({}, answer)
            first = answer
        if first.error is None or not self._may_split(first, keys):
            return first
        return await self._split(batch, keys, first, first.error, scope)

    begin_lone: Callable[[Batch[K, V], Context], None] | None = None
    """Called with a lone load, and the context of its source call; ``None`` where nobody listens."""

    @property
    def may_begin(self) -> bool:
        """Whether a call may begin at once: not with a circuit breaker, which must be asked first."""
        return self._circuit is None

    def _context_for(self, batch: Batch[K, V]) -> Context:
        return (self.context if batch.context is None else batch.context).copy()

    def abandoned(self, batch: Batch[K, V]) -> None:
        """Take note that nobody waits any more for the call of ``batch``, which goes on after its timeout."""
        admitted = self._admitted.pop(batch, None)
        if self._circuit is not None and admitted is not None:
            probe, counts = admitted
            self._circuit.record(probe=probe, failed=True if counts and not batch.is_landed else None)

    async def _split(
        self,
        batch: Batch[K, V],
        keys: Sequence[K],
        first: Ended[K, V],
        error: BaseException,
        scope: CancelScope,
    ) -> Answer[K, V]:
        """Search ``keys``, whose first call failed, for the bad one; a timeout ends the search."""
        calls = [first]
        last = first
        unasked: BaseException | None = None

        async def ask(some: Sequence[K]) -> Mapping[K, V | Failed] | BaseException | None:
            nonlocal last, unasked
            if batch.state is BatchState.LANDED:
                return None
            ended = await self._call(batch, some, scope, counted=True)
            if isinstance(ended, CircuitOpenError):
                unasked = ended
                return None
            last = ended
            calls.append(ended)
            if ended.stopped or ended.must_stop:
                unasked = ended.error
                return None
            return ended.error or ended.found

        found: Mapping[K, V | Failed] = await isolate(keys, error, ask)
        if unasked is not None:
            found = {**dict.fromkeys(keys, Failed(unasked)), **found}
        interrupt = unasked if isinstance(unasked, (KeyboardInterrupt, SystemExit)) else None
        return Answer(found, interrupt, last.must_stop, last.stopped, first.seconds, calls)

    async def _call(
        self, batch: Batch[K, V], keys: Sequence[K], scope: CancelScope, *, counted: bool = False
    ) -> Ended[K, V] | CircuitOpenError:
        """Make one call, unless the circuit is open.

        :param counted: whether the circuit already counted a failure of this batch: one bad key must
            not open the circuit by failing in each call of the search for it.
        """
        probe = False
        if self._circuit is not None:
            try:
                probe = self._circuit.admit()
                self._admitted[batch] = probe, probe or not counted
            except CircuitOpenError as refusal:
                return refusal
        failed: bool | None = None
        try:
            ended = await self._ask(batch, keys, scope)
            given_up = batch.state is BatchState.LANDED
            if not given_up and (probe or not (counted and ended.failed)):
                failed = ended.failed
        finally:
            if self._circuit is not None and self._admitted.pop(batch, None) is not None:
                self._circuit.record(probe=probe, failed=failed)
        return ended

    def _ask(
        self, batch: Batch[K, V], keys: Sequence[K], scope: CancelScope
    ) -> Coroutine[Any, Any, Ended[K, V]]:
        # Not a coroutine itself: it would be one more level of each load.
        return call_source(
            self.source,
            batch,
            keys,
            context=self._context_for(batch),
            policy=self._policy,
            clock=self.clock,
            scope=scope,
            overdue=self._overdue,
        )

    def _may_split(self, ended: Ended[K, V], keys: Sequence[K]) -> bool:
        return (
            self._policy.split_failed
            and len(keys) > 1
            and not ended.stopped
            and isinstance(ended.error, Exception)
            and not ended.must_stop
            and self.circuit in {None, CircuitState.CLOSED}
        )
