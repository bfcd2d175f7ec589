"""How old values are: worked out from when they expire, so that nothing more is kept of each."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Generic

from async_backfill._common.validation import positive_seconds
from async_backfill.contracts import K, V
from async_backfill.outcomes import ABSENT, Absent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from async_backfill.contracts import Clock
    from async_backfill.policies import FreshnessPolicy


def ttl_by(policy: FreshnessPolicy, key: K, value: V | Absent) -> float:
    """Return the ttl that ``policy`` gives ``value``; infinite when it never expires."""
    own = None if policy.ttl_of is None or value is ABSENT else policy.ttl_of(key, value)
    if own is not None:
        return positive_seconds("ttl_of", own)
    return math.inf if policy.ttl is None else policy.ttl


class Ages(Generic[K, V]):
    """The ages of values that expire at ``fresh_until``.

    ``own``
        the ttl of each value that was put with one of its own, and when that value expires.

    :param peek: returns a value, fresh or not, and does not count as a use.
    """

    __slots__ = ("_clock", "_fresh_until", "_peek", "_policy", "own")

    def __init__(
        self,
        policy: FreshnessPolicy,
        fresh_until: Mapping[K, float],
        peek: Callable[[K, Absent], V | Absent],
        clock: Clock,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._fresh_until = fresh_until
        self._peek = peek
        self.own: dict[K, tuple[float, float]] = {}

    def put(self, keys: Iterable[K], ttl: float) -> None:
        """Take note that ``keys`` were put with this ``ttl``."""
        until = self._fresh_until
        self.own.update((key, (ttl, until[key])) for key in keys if key in until)

    def forget(self, keys: Iterable[K]) -> None:
        """Take note that ``keys`` are held no more."""
        for key in keys:
            self.own.pop(key, None)

    def of(self, key: K) -> float | None:
        """Return the seconds since ``key`` was loaded or put, with jitter a little more.

        ``None`` when it is not held or its ttl is not known.
        """
        until = self._fresh_until.get(key)
        if until is None:
            return None
        ttl, put_until = self.own.get(key, (math.inf, None))
        if put_until != until:
            ttl = self._usual(key)
        return None if ttl == math.inf else max(0.0, ttl - (until - self._clock()))

    def _usual(self, key: K) -> float:
        try:
            return ttl_by(self._policy, key, self._peek(key, ABSENT))
        except Exception:  # noqa: BLE001 - the user's function; when the value came, it answered
            return math.inf
