"""What a batch that asks the source has of the far tier (L2), and what becomes of that when it lands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic

from async_backfill._far.stale_copies import StaleCopies
from async_backfill._loading.failures import GivenUpError
from async_backfill.contracts import K, V
from async_backfill.errors import CacheClosedError, CircuitOpenError, LoadCycleError
from async_backfill.outcomes import ABSENT, Failed

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from async_backfill._far.writes import FarWrites
    from async_backfill._loading.batch import Batch
    from async_backfill.outcomes import Absent


@dataclass(slots=True)
class Claim(Generic[K]):
    """The leases of a batch.

    ``mine``
        the tokens of leases of its own.
    ``borrowed``
        the tokens of leases of others, that were waited for long enough.
    ``outdated``
        the keys that have an old value in the far tier.
    ``stale``
        the copies that answer where the source fails.
    """

    mine: Mapping[K, bytes] = field(default_factory=dict)
    borrowed: Mapping[K, bytes] = field(default_factory=dict)
    outdated: Collection[K] = ()
    stale: StaleCopies[K, Any] = field(default_factory=StaleCopies)

    def of(self, keys: Collection[K]) -> Claim[K]:
        """Return what a part of the batch with ``keys`` has of it."""
        return Claim(
            mine={key: self.mine[key] for key in keys if key in self.mine},
            borrowed={key: self.borrowed[key] for key in keys if key in self.borrowed},
            outdated=[key for key in keys if key in self.outdated],
            stale=self.stale.of(keys),
        )

    def settle(self, batch: Batch[K, V], writes: FarWrites[K, V]) -> None:
        """Queue what follows from the outcome of ``batch``, which has just landed.

        A value is written under its lease; absence and failure end the lease and are told to those who wait
        for it; the leases of a load that was cancelled end untold. A borrowed lease is ended by a value and
        by absence only: its holder may still be loading.
        """
        values: dict[K, V] = {}
        ended: dict[K, bytes] = {}
        told: dict[K, Absent | Failed] = {}
        for key, token in (*self.borrowed.items(), *self.mine.items()):
            outcome = self.stale.failures.get(key) or batch.outcome(key)
            if outcome is ABSENT:
                told[key] = ABSENT
            elif not isinstance(outcome, Failed):
                values[key] = outcome
            elif key not in self.mine:
                continue
            elif _is_of_the_source(outcome.error):
                told[key] = outcome
            ended[key] = token
        if ended:
            writes.leased(batch, values, ended, told)
        if self.outdated:
            gone = [key for key in self.outdated if key not in ended and batch.outcome(key) is ABSENT]
            writes.gone(gone)


def _is_of_the_source(error: BaseException) -> bool:
    """Return whether another process would fail with ``error`` as well."""
    ours = isinstance(error, (CacheClosedError, CircuitOpenError, LoadCycleError, GivenUpError))
    return isinstance(error, Exception) and not ours
