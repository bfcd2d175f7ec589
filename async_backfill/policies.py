"""Settings that most users never change, in small frozen groups that check themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from async_backfill._common.validation import (
    flag,
    positive_seconds,
    positive_seconds_or_none,
    real,
    seconds,
    whole,
    whole_or_none,
)
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "SELECTIONS",
    "BackfillPolicy",
    "CircuitPolicy",
    "FreshnessPolicy",
    "HistoryPolicy",
    "LoadPolicy",
    "SelectionName",
]

SelectionName: TypeAlias = Literal["source", "history"]
SELECTIONS: Final[tuple[SelectionName, ...]] = get_args(SelectionName)

_WITHOUT_CAPACITY: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitPolicy:
    """When to stop calling a source that fails: a circuit breaker.

    ``failures``
        failed calls in a row after which the circuit opens: from then on loads fail at once. Calls
        that search for a bad key do not count.
    ``open_for``
        seconds until one call, the probe, is made again: if it succeeds, the circuit closes; if it
        fails, the wait starts again. Until then backfills are skipped, and a failed batch is not split.
    """

    failures: int = 5
    open_for: float = 10.0

    def __post_init__(self) -> None:
        whole("failures", self.failures, least=1)
        positive_seconds("open_for", self.open_for)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPolicy:
    """How the source is called.

    ``max_batch``
        the largest number of keys in one ``load_many`` call.
    ``concurrency``
        the largest number of ``load_many`` calls at once. A load that waits for another key of the
        cache does not count while it waits, so nested loads cannot block each other.
    ``timeout``
        seconds after which a call is cancelled and its callers are freed; ``None`` for no limit. A call that
        goes on nevertheless is *abandoned*: it holds no place, its answer is dropped. While ``concurrency``
        abandoned calls run, no other is made.
    ``linger``
        seconds to wait for more keys before a call. With 0.0 a batch is made of the keys that were
        missed in one turn of the event loop.
    ``split_failed``
        ``True`` searches for the bad key when a call for several keys fails as a whole: with one bad
        key among n, the others succeed after at most log2(n) + 1 more calls (rounded up). The key that
        is left over at the end is not tried once more, so a passing error may fail a good key; its
        next get tries again.
    ``circuit``
        when to stop calling a source that fails; ``None`` for never.
    """

    max_batch: int = 500
    concurrency: int = 10
    timeout: float | None = 30.0
    linger: float = 0.0
    split_failed: bool = False
    circuit: CircuitPolicy | None = None

    def __post_init__(self) -> None:
        whole("max_batch", self.max_batch, least=1)
        whole("concurrency", self.concurrency, least=1)
        positive_seconds_or_none("timeout", self.timeout)
        seconds("linger", self.linger)
        flag("split_failed", self.split_failed)
        if not isinstance(self.circuit, CircuitPolicy | None):
            kind = type(self.circuit).__name__
            problem = f"must be a CircuitPolicy or None, not {self.circuit!r} (a {kind})"
            raise ConfigurationError("circuit", problem)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillPolicy:
    """When and how a backfill runs.

    ``window``
        the number of latest lookups that the miss rate is computed over.
    ``min_lookups``
        lookups that must be in the window before a backfill can start; if it is larger than
        ``window``, no backfill ever starts.
    ``evicts``
        ``True`` lets a backfill evict keys that are in use, which can thrash; by default it loads no
        more keys than there is free room for.
    ``inline``
        ``True`` makes the miss that starts a backfill wait for it; by default it runs in the
        background.
    ``concurrent``
        the largest number of backfills at once.
    ``selection``
        which keys a backfill loads. ``"source"``: the first keys of the source that are not cached.
        ``"history"``: the hottest keys, batch after batch until the hit rate is what it was before;
        as long as no keys are known to be hot, as with ``"source"``.
    ``successors``
        the largest number of keys that are loaded along with a missed key, in the same source call,
        because they missed right after it the last time; 0 for none. They cost no call, so they need
        no threshold and no permit. The audit log says how many of them were read.
    ``probation``
        whether backfilled keys are kept apart until they are read, and are evicted first. Then receipts
        say how many keys of each backfill were read, and misses are counted by cause: misses of
        evicted, invalidated and absent keys start no backfill. ``None`` means ``True``, unless the
        selection is ``"source"`` without successors.
    """

    window: int = 1000
    min_lookups: int = 3
    evicts: bool = False
    inline: bool = False
    concurrent: int = 1
    selection: SelectionName = "source"
    successors: int = 0
    probation: bool | None = None

    def __post_init__(self) -> None:
        whole("window", self.window, least=1)
        whole("min_lookups", self.min_lookups, least=1)
        flag("evicts", self.evicts)
        flag("inline", self.inline)
        whole("concurrent", self.concurrent, least=1)
        if self.selection not in SELECTIONS:
            names = ", ".join(map(repr, SELECTIONS))
            raise ConfigurationError("selection", f"{self.selection!r} is not one of {names}")
        whole("successors", self.successors, least=0)
        if self.probation is not None:
            flag("probation", self.probation)
        if self.successors and self.probation is False:
            raise ConfigurationError("probation", "must not be False with successors; leave it out")

    @property
    def has_probation(self) -> bool:
        """Whether backfilled keys are kept apart until they are read; ``probation`` resolved."""
        if self.probation is None:
            return self.selection != "source" or self.successors > 0
        return self.probation


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPolicy:
    """How many hot keys are remembered, and how long.

    ``size``
        the largest number of keys remembered; ``None`` for twice the capacity, or 100,000 without one.
    ``half_life``
        lookups after which a lookup counts half; ``None`` for fifteen times ``size``.
    ``save_every``
        seconds between two writes of the journal: a crash loses what was recorded in that time.
    """

    size: int | None = None
    half_life: float | None = None
    save_every: float = 10.0

    def __post_init__(self) -> None:
        whole_or_none("size", self.size, least=1)
        if self.half_life is not None:
            real("half_life", self.half_life, least=1.0, most=math.inf)
        positive_seconds("save_every", self.save_every)

    def size_for(self, capacity: int | None) -> int:
        """Return the number of keys to remember for a cache of ``capacity``."""
        if self.size is not None:
            return self.size
        return _WITHOUT_CAPACITY if capacity is None else 2 * capacity

    def half_life_for(self, capacity: int | None) -> float:
        """Return the half-life in lookups for a cache of ``capacity``."""
        return 15.0 * self.size_for(capacity) if self.half_life is None else self.half_life


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshnessPolicy:
    """How long values stay fresh, and what happens after that.

    ``ttl``
        seconds for which a value stays fresh, from the end of its load; ``None`` for ever.
    ``ttl_of``
        a quick function that returns this for a key and its value, in place of ``ttl``; where it returns
        ``None``, ``ttl`` holds. Not with a far tier, whose other readers would not know of it.
    ``jitter``
        share of ``ttl``, 0.0 to 1.0, of which a random part is cut off, so that values that were loaded
        together do not expire together.
    ``stale_for``
        seconds after the ttl in which the old value may still be served: while the key is loaded again
        in the background (stale-while-revalidate), and when that load fails (stale-if-error).
    ``stale_wait``
        seconds that a caller waits for that load before it takes the old value: 0.0 takes the old value
        at once, ``None`` only when the load fails.
    ``retry_after``
        seconds after a failed refresh in which the old value is served and the source is not called.
    ``early``
        how eagerly a value is refreshed before it expires. Each hit may start a refresh by chance, more
        likely near the expiry and when the load took long: XFetch, where 1.0 is the optimum and 0.0
        switches it off (Vattani, Chierichetti, Lowenstein: "Optimal Probabilistic Cache Stampede
        Prevention", VLDB 2015).
    ``absent_ttl``
        seconds for which the cache remembers that a key does not exist; ``None`` to ask the source
        each time.
    ``absent_capacity``
        the largest number of absent keys remembered.
    ``seed``
        seed of the random numbers for ``jitter`` and ``early``; ``None`` for another one each time.
    """

    ttl: float | None = None
    ttl_of: Callable[[Any, Any], float | None] | None = None
    jitter: float = 0.0
    stale_for: float = 0.0
    stale_wait: float | None = 0.0
    retry_after: float = 1.0
    early: float = 0.0
    absent_ttl: float | None = None
    absent_capacity: int = 10_000
    seed: int | None = None

    def __post_init__(self) -> None:
        positive_seconds_or_none("ttl", self.ttl)
        real("jitter", self.jitter, least=0.0, most=1.0)
        seconds("stale_for", self.stale_for)
        if self.stale_wait is not None:
            seconds("stale_wait", self.stale_wait)
        positive_seconds("retry_after", self.retry_after)
        real("early", self.early, least=0.0, most=1000.0)
        positive_seconds_or_none("absent_ttl", self.absent_ttl)
        whole("absent_capacity", self.absent_capacity, least=1)
        whole_or_none("seed", self.seed, least=0)
        if self.ttl is None and self.ttl_of is None:
            for name in ("jitter", "stale_for", "early"):
                if getattr(self, name):
                    raise ConfigurationError(name, "has no effect without ttl; set ttl as well")
