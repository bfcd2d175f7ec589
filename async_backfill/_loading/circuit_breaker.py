"""A circuit breaker: stop calling a source that keeps failing, and try it again after a while."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_backfill.errors import CircuitOpenError
from async_backfill.records import CircuitState

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_backfill.contracts import Clock
    from async_backfill.policies import CircuitPolicy


class Circuit:
    """Counts failed calls in a row and decides whether the next call may be made.

    Pure and synchronous. Michael Nygard, "Release It!", 2nd edition 2018, section 5.2. A half-open
    circuit admits one probe at a time, so that a source that recovers is not flooded with calls.

    :param clock: a monotonic clock, in seconds.
    :param changed: called with each new state, and how many calls in a row have failed by then.
    """

    def __init__(
        self,
        policy: CircuitPolicy,
        clock: Clock,
        changed: Callable[[CircuitState, int], object] = lambda *_: None,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._failures = 0
        self._opened: float | None = None
        self._probing = False
        self._changed = changed
        self._told = CircuitState.CLOSED

    @property
    def state(self) -> CircuitState:
        """Closed: calls are made; open: none are; half open: one at a time."""
        if self._opened is None:
            return CircuitState.CLOSED
        return CircuitState.HALF_OPEN if self._wait(self._opened) <= 0 else CircuitState.OPEN

    def admit(self) -> bool:
        """Admit one call and return whether it is a probe; `record` must follow each admitted call.

        :raises CircuitOpenError: when no call may be made now; no `record` follows then.
        """
        if self._opened is None:
            return False
        wait = self._wait(self._opened)
        if wait > 0 or self._probing:
            next_try = f"the next try is in {wait:.1f} s" if wait > 0 else "one call tries it now"
            failed = f"the source failed {self._failures} times in a row"
            raise CircuitOpenError(f"{failed} and is not called now; {next_try} (LoadPolicy.circuit)")
        self._probing = True
        self._tell(CircuitState.HALF_OPEN)
        return True

    def record(self, *, probe: bool, failed: bool | None) -> None:
        """Count the result of an admitted call.

        Once the circuit has opened, only a probe counts: all other calls began before that.

        :param probe: what `admit` returned for the call.
        :param failed: whether the call failed; ``None`` when it was given up, which proves nothing.
        """
        if probe:
            self._probing = False
        elif self._opened is not None:
            return
        if failed:
            self._failures += 1
            if probe or self._failures >= self._policy.failures:
                self._opened = self._clock()
                self._tell(CircuitState.OPEN)
        elif failed is not None:
            self._failures = 0
            self._opened = None
            self._tell(CircuitState.CLOSED)

    def _tell(self, state: CircuitState) -> None:
        if state is not self._told:
            self._told = state
            self._changed(state, self._failures)

    def _wait(self, opened: float) -> float:
        """Return the seconds until a probe is admitted."""
        return opened + self._policy.open_for - self._clock()
