"""Rows a second: the generic cell rate algorithm (GCRA), as pure functions of the time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_SHORTEST: Final = 1e-6  # or rounding could keep a page waiting for ever


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """When all rows so far would have come at the rate; ``until`` is a time of any clock.

    A page that comes late by less than its own time at the rate does not put off those after it, so the rate
    is kept on the whole although nothing wakes up to the moment.
    """

    until: float = 0.0

    def wait(self, now: float, rows: int, rate: float | None) -> float:
        """Return the seconds until a page of ``rows`` may begin; 0.0 is now."""
        if rate is None:
            return 0.0
        late = self.until - now - rows / rate
        return late if late > _SHORTEST else 0.0

    def take(self, now: float, rows: int, rate: float | None) -> Pace:
        """Return the pace after a page of ``rows`` has begun."""
        return self if rate is None else Pace(until=max(self.until, now) + rows / rate)

    def give_back(self, rows: int, rate: float | None) -> Pace:
        """Return the pace when ``rows`` that were taken did not come."""
        return self if rate is None else Pace(until=self.until - rows / rate)
