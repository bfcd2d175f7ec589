"""A circuit breaker: a source that keeps failing is left alone for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_backfill.errors import CircuitOpenError
from async_backfill.records import CircuitState

if TYPE_CHECKING:
    from async_backfill.contracts import Clock
    from async_backfill.policies import CircuitPolicy


class Circuit:
    """Counts failed calls in a row and says whether the next call may be made.

    Pure and synchronous. Michael Nygard, "Release It!", 2nd edition 2018, section 5.2; half open it
    admits one probe at a time, so that a source that comes back is not run over.

    :param clock: seconds that never go back.
    """

    def __init__(self, policy: CircuitPolicy, clock: Clock) -> None:
        self._policy = policy
        self._clock = clock
        self._failures = 0
        self._opened: float | None = None
        self._probing = False

    @property
    def state(self) -> CircuitState:
        """Whether calls are made, not made, or one at a time."""
        if self._opened is None:
            return CircuitState.CLOSED
        return CircuitState.HALF_OPEN if self._wait(self._opened) <= 0 else CircuitState.OPEN

    def admit(self) -> bool:
        """Return whether the call about to be made is a probe; each must be followed by `record`.

        :raises CircuitOpenError: when no call must be made now; nothing follows then.
        """
        if self._opened is None:
            return False
        wait = self._wait(self._opened)
        if wait > 0 or self._probing:
            next_try = f"the next try is in {wait:.1f} s" if wait > 0 else "one call tries it now"
            failed = f"the source failed {self._failures} times in a row"
            raise CircuitOpenError(f"{failed} and is left alone; {next_try} (LoadPolicy.circuit)")
        self._probing = True
        return True

    def record(self, *, probe: bool, failed: bool | None) -> None:
        """Take note of how an admitted call ended; ``None`` when it was given up, which proves nothing.

        Once the circuit has opened only a probe counts: other calls began before it did.
        """
        if probe:
            self._probing = False
        elif self._opened is not None:
            return
        if failed:
            self._failures += 1
            if probe or self._failures >= self._policy.failures:
                self._opened = self._clock()
        elif failed is not None:
            self._failures = 0
            self._opened = None

    def _wait(self, opened: float) -> float:
        """Return the seconds until a probe is admitted."""
        return opened + self._policy.open_for - self._clock()
