"""Guarded calls of the far tier (L2): each has a timeout, and a circuit breaker stops them for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from anyio import CancelScope, current_time

from async_backfill._common.attempt import attempt
from async_backfill._common.error_text import error_line
from async_backfill._loading.circuit_breaker import Circuit
from async_backfill.errors import CircuitOpenError, ConfigurationError, StoreError
from async_backfill.stats import FarStats

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from async_backfill._far.call_tasks import CallTasks
    from async_backfill.contracts import Clock
    from async_backfill.policies import CircuitPolicy
    from async_backfill.records import CircuitState

T = TypeVar("T")


class GuardedCalls:
    """Calls the far tier's store, each call for at most ``timeout`` seconds, and counts the results.

    :param timeout: seconds after which a call is cancelled and counts as failed.
    :param circuit: when to stop calling a store that fails.
    :param clock: a monotonic clock, in seconds, for the circuit.
    :param notify: called with each failure.
    :param circuit_changed: see `Circuit`.
    """

    def __init__(
        self,
        *,
        timeout: float,
        circuit: CircuitPolicy,
        clock: Clock,
        notify: Callable[[StoreError], None],
        circuit_changed: Callable[[CircuitState, int], object],
    ) -> None:
        self.clock = clock
        self._timeout = timeout
        self._circuit = Circuit(circuit, clock, circuit_changed)
        self._notify = notify
        self._tasks: CallTasks | None = None
        self._calls: dict[str, int] = {}
        self._calls_failed: dict[str, int] = {}
        self.hits = 0
        self.misses = 0
        self.failures = 0
        self.written = 0
        self.unwritten = 0
        self.unreleased = 0

    def run_in(self, tasks: CallTasks | None) -> None:
        """Make calls in ``tasks`` from now on; ``None`` makes them in the task that asks.

        The tasks of an open cache end with all others when it is cancelled, so its last calls need none.
        """
        self._tasks = tasks

    @property
    def state(self) -> CircuitState:
        """The state of the circuit: whether the store is called."""
        return self._circuit.state

    def stats(self) -> FarStats:
        """Return the counters."""
        return FarStats(
            hits=self.hits,
            misses=self.misses,
            failures=self.failures,
            written=self.written,
            unwritten=self.unwritten,
            unreleased=self.unreleased,
            circuit=self.state,
            calls=dict(self._calls),
            calls_failed=dict(self._calls_failed),
        )

    async def call(self, what: str, call: Callable[[], Awaitable[T]], *, within: float | None = None) -> T:
        """Return the result of ``call()``.

        :param what: the name of the call, for errors and the log.
        :param within: its timeout in seconds, for a call of many round trips; ``None`` for the usual one.
        :raises StoreError: when the call failed, was too slow, or was not made because the circuit is open.
        """
        try:
            probe = self._circuit.admit()
        except CircuitOpenError:
            raise StoreError(
                f"{what}: not tried, the far tier failed lately and is not called for a while"
            ) from None
        failed: bool | None = None
        timeout = self._timeout if within is None else within
        try:
            if self._tasks is None:
                ended = await attempt(call, CancelScope(deadline=current_time() + timeout))
            else:
                ended = await self._tasks.attempt(call, timeout)
            if not isinstance(ended.error, ConfigurationError):  # a key that no store could take
                failed = ended.stopped or ended.error is not None
        finally:
            self._circuit.record(probe=probe, failed=failed)
        self._calls[what] = self._calls.get(what, 0) + 1
        if ended.error is None and not ended.stopped:
            return ended.result  # type: ignore[return-value] # without an error there is a result
        if isinstance(ended.error, (KeyboardInterrupt, SystemExit)):
            raise ended.error
        if ended.stopped or ended.error is None:
            problem = f"took longer than {timeout} s (FarTier.timeout)"
        else:
            problem = error_line(ended.error)
        error = StoreError(f"{what}: {problem}")
        error.__cause__ = ended.error
        self._calls_failed[what] = self._calls_failed.get(what, 0) + 1
        self.failed(error)
        raise error

    def report(self, what: str, cause: Exception) -> None:
        """Count and tell that ``what``, which is no call, failed because of ``cause``."""
        error = StoreError(f"{what}: {error_line(cause)}")
        error.__cause__ = cause
        self.failed(error)

    def failed(self, error: StoreError) -> None:
        """Count and tell that a call failed with ``error``."""
        self.failures += 1
        self._notify(error)
