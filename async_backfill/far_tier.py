"""What a cache is told of the tier behind its memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic

from async_backfill._common.validation import positive_seconds, positive_seconds_or_none, whole
from async_backfill.contracts import K, V
from async_backfill.errors import ConfigurationError
from async_backfill.policies import CircuitPolicy

if TYPE_CHECKING:
    from async_backfill.contracts import FarStore, Invalidations, Leases


@dataclass(frozen=True, slots=True, kw_only=True)
class FarTier(Generic[K, V]):
    """A store that processes share, behind the memory of a cache and before its source.

    A batch of missed keys is read there first, in one call, and only the rest is loaded; what was loaded
    is written there in the background. A put, an invalidation and a clear are written before they return.

    ``store``
        where the copies are, as `async_backfill.redis.RedisStore`.
    ``leases``
        lets a fleet make one load of a key, and keeps what was loaded before a put or an invalidation
        elsewhere from being written after it; ``None``: each process loads for itself, and such a late
        write stands until its ttl is over.
    ``invalidations``
        how a put or an invalidation in one process reaches the memory of the others; ``None``: they hold
        what they have until its ttl is over.
    ``ttl``
        seconds that the store keeps a value; ``None`` for ``FreshnessPolicy.ttl``. Where values expire in
        memory, those that were read from the store do so when its ttl is over, at the latest.
    ``timeout``
        seconds after which one call of the store is cancelled, and counts as failed.
    ``circuit``
        when to leave a failing store alone.
    ``max_queued``
        loaded values that wait to be written at the most; those beyond it are not written. As many keys
        whose put or invalidation failed are remembered, read from the source, and removed from the store
        once it answers.
    """

    store: FarStore[K, V]
    leases: Leases[K, V] | None = None
    invalidations: Invalidations[K] | None = None
    ttl: float | None = None
    timeout: float = 0.05
    circuit: CircuitPolicy = field(default_factory=lambda: CircuitPolicy(failures=3, open_for=1.0))
    max_queued: int = 10_000

    def __post_init__(self) -> None:
        positive_seconds_or_none("ttl", self.ttl)
        positive_seconds("timeout", self.timeout)
        if not isinstance(self.circuit, CircuitPolicy):
            kind = type(self.circuit).__name__
            raise ConfigurationError("circuit", f"{self.circuit!r} is no CircuitPolicy (a {kind})")
        whole("max_queued", self.max_queued, least=1)
