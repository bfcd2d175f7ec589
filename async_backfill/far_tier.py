"""Settings of the far tier (L2), which several processes share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic

from async_backfill._common.validation import convert, positive_seconds, positive_seconds_or_none, whole
from async_backfill.contracts import GuardedStore, K, Sealing, V
from async_backfill.errors import ConfigurationError
from async_backfill.policies import CircuitPolicy

if TYPE_CHECKING:
    from async_backfill.contracts import FarStore, Invalidations, Leases, Seconds

__all__ = ["FarTier"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FarTier(Generic[K, V]):
    """The far tier (L2): a store that processes share, between the memory of a cache and its source.

    A batch of missed keys is looked up there first, in one call, and only the rest is loaded from the
    source; loaded values are written there in the background. A put, an invalidation and a clear are
    written there before they return.

    ``store``
        where the copies are, such as `async_backfill.redis.RedisStore`. If its class inherits from `Sealing`,
        a value is written as it was when it was loaded or put, whatever callers do to it. If it inherits from
        `GuardedStore`, a value that was loaded before a change in another process is not written after it.
    ``leases``
        makes one load of a key for the whole fleet. It also stops a value that was loaded before a put or
        an invalidation in another process from being written after it. With ``None`` each process loads
        for itself, and only a `GuardedStore` stops such a late write.
    ``invalidations``
        how a put or an invalidation in one process reaches the memory of the others. With ``None`` they
        keep what they have until its ttl is over.
    ``ttl``
        seconds for which a copy in the far tier is fresh; ``None`` for ``FreshnessPolicy.ttl``. If values
        expire in memory, a copy from the far tier does so at the end of this ttl at the latest. It counts
        from the begin of the load. The copy is kept for ``FreshnessPolicy.stale_for`` more, and answers a
        lookup whose load failed.
    ``timeout``
        seconds after which a call of the store is cancelled and counts as failed.
    ``circuit``
        when to stop calling a store that fails.
    ``lease_wait``
        seconds to wait for a key that another process has leased; after that one of those who wait takes
        the lease over and loads the key. The others wait as long once more, then they load it as well.
        ``None`` waits 3 times as long as the loads of this process usually take, from 0.1 to 3.0 s, and
        1.0 s before the first one. Both waits together are never more than ``LoadPolicy.timeout``.
    ``max_queued``
        the largest number of loaded values that wait to be written; more are not written. It is also the
        largest number of keys remembered because their put or invalidation failed: these are read from
        the source, and removed from the store once it answers again.
    """

    store: FarStore[K, V]
    leases: Leases[K, V] | None = None
    invalidations: Invalidations[K] | None = None
    ttl: float | None = None
    timeout: float = 0.05
    circuit: CircuitPolicy = field(default_factory=lambda: CircuitPolicy(failures=3, open_for=1.0))
    lease_wait: float | None = None
    max_queued: int = 10_000

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            store: FarStore[K, V],
            leases: Leases[K, V] | None = ...,
            invalidations: Invalidations[K] | None = ...,
            ttl: Seconds | None = ...,
            timeout: Seconds = ...,
            circuit: CircuitPolicy = ...,
            lease_wait: Seconds | None = ...,
            max_queued: int = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        convert(
            self,
            ttl=positive_seconds_or_none,
            timeout=positive_seconds,
            lease_wait=positive_seconds_or_none,
        )
        if not isinstance(self.circuit, CircuitPolicy):
            kind = type(self.circuit).__name__
            raise ConfigurationError("circuit", f"must be a CircuitPolicy, not {self.circuit!r} (a {kind})")
        whole("max_queued", self.max_queued, least=1)

    @property
    def guarded(self) -> GuardedStore[K, V] | None:
        """The store, if its class inherits from `GuardedStore`."""
        store: object = self.store
        return store if GuardedStore in type(store).__mro__ else None  # type: ignore[return-value] # as below

    @property
    def sealing(self) -> Sealing[K, V] | None:
        """The store, if its class inherits from `Sealing`."""
        store: object = self.store
        return store if Sealing in type(store).__mro__ else None  # type: ignore[return-value] # declared, not probed for
