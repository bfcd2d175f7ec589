"""Settings that most users leave alone, in small frozen groups; each checks itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

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

SelectionName: TypeAlias = Literal["source", "history"]
SELECTIONS: Final[tuple[SelectionName, ...]] = get_args(SelectionName)

_WITHOUT_CAPACITY: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitPolicy:
    """When to leave a failing source alone.

    ``failures``
        failed calls in a row after which the circuit opens: loads then fail at once.
    ``open_for``
        seconds until one call, the probe, is let through again; it closes the circuit if it
        succeeds, and starts the wait again if it fails. Until then backfills are skipped, and a
        failed batch is not split. The calls that look for a bad key do not count as failures.
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
        keys in one ``load_many`` call at the most.
    ``concurrency``
        ``load_many`` calls at once. A load that waits for another key of the cache lends its
        place while it waits, so nested loads cannot starve.
    ``timeout``
        seconds after which one call is cancelled; ``None`` waits for ever.
    ``linger``
        seconds to wait for more keys before a call. At 0.0 a batch is what was asked for within
        one turn of the event loop.
    ``split_failed``
        ``True`` looks for the bad key when a call for several keys fails as a whole: with one bad
        key among n the others succeed, for at most log2(n) + 1 more calls (rounded up). The key that
        is left over at the end is not asked for once more: an error that passes by itself may be
        laid at the door of a good key, whose next get tries again.
    ``circuit``
        when to leave a failing source alone; ``None`` always asks it.
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
            raise ConfigurationError("circuit", f"{self.circuit!r} is no CircuitPolicy (a {kind})")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillPolicy:
    """When and how a backfill runs.

    ``window``
        lookups that the miss rate is taken over, the latest ones.
    ``min_lookups``
        lookups that must be in the window before a backfill can start; with more than ``window``
        there is never one.
    ``evicts``
        ``True`` lets a backfill push out what is in use, which can thrash; by default it loads no
        more keys than there is free room.
    ``inline``
        ``True`` makes the miss that starts a backfill wait for it; by default it runs in the
        background.
    ``concurrent``
        backfills at once.
    ``selection``
        which keys: ``"source"`` takes the first ones of the source that are not cached,
        ``"history"`` the hottest ones, batch after batch until the hit rate is what it was before,
        and the first ones of the source as long as nothing is known to be hot.
    ``successors``
        keys that are loaded along with a missed key, in the same source call, because they missed
        right after it the last time; 0 for none. It costs no call, so it needs no threshold and no
        permit. What they were good for is in the audit log, in aggregate.
    ``probation``
        whether what was backfilled stands apart until it is read, and leaves first. Then receipts
        tell what each backfill was good for, and misses are told apart by cause: evictions and
        absent keys start no backfill. ``None`` means yes, unless the selection is ``"source"``
        without successors.
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
            raise ConfigurationError("probation", "is False, but successors need it; leave it out")

    @property
    def has_probation(self) -> bool:
        """Whether backfilled keys stand apart until they are read."""
        if self.probation is None:
            return self.selection != "source" or self.successors > 0
        return self.probation


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPolicy:
    """What is remembered of which keys are hot.

    ``size``
        keys remembered at the most; ``None`` for twice the capacity, or 100,000 without one.
    ``half_life``
        lookups after which a lookup counts half; ``None`` for fifteen times ``size``.
    ``save_every``
        seconds between two writes of the journal: what a crash can cost.
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
        """Return how many keys to remember for a cache of ``capacity``."""
        if self.size is not None:
            return self.size
        return _WITHOUT_CAPACITY if capacity is None else 2 * capacity

    def half_life_for(self, capacity: int | None) -> float:
        """Return the half-life in lookups for a cache of ``capacity``."""
        return 15.0 * self.size_for(capacity) if self.half_life is None else self.half_life


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshnessPolicy:
    """How long what was loaded or put stays good, and what happens after that.

    ``ttl``
        seconds that a value stays fresh, from the moment its load ends.
    ``jitter``
        share of ``ttl``, 0.0 to 1.0, that is cut off at random, so that what was loaded together
        does not expire together.
    ``stale_for``
        seconds after that in which the old value may still be served while the key is loaded
        again in the background (stale-while-revalidate), and also when that load fails
        (stale-if-error).
    ``stale_wait``
        seconds that a caller waits for that load before it takes the old value: 0.0 takes it at
        once, ``None`` only when the load fails.
    ``retry_after``
        seconds after a failed refresh in which the old value is served and the source left alone.
    ``early``
        how eagerly to refresh before a value expires, by chance, the likelier the nearer that is
        and the longer its load took: XFetch, where 1.0 is the optimum and 0.0 switches it off
        (Vattani, Chierichetti, Lowenstein: "Optimal Probabilistic Cache Stampede Prevention",
        VLDB 2015).
    ``absent_ttl``
        seconds for which the cache remembers that a key does not exist; ``None`` asks again each
        time.
    ``absent_capacity``
        absent keys remembered at the most.
    ``seed``
        of the draws for ``jitter`` and ``early``; ``None`` takes another one each time.
    """

    ttl: float | None = None
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
        if self.ttl is None:
            for name in ("jitter", "stale_for", "early"):
                if getattr(self, name):
                    raise ConfigurationError(name, "means nothing without ttl; set ttl as well")
