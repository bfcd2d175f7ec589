"""How long values stay fresh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from async_backfill._common.validation import (
    convert,
    positive_seconds,
    positive_seconds_or_none,
    real,
    seconds,
    seconds_or_none,
    whole,
    whole_or_none,
)
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_backfill.contracts import Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshnessPolicy:
    """How long values stay fresh, and what happens after that.

    ``ttl``
        seconds for which a value stays fresh, from the begin of its load; ``None`` for ever.
    ``ttl_of``
        a quick function that returns this for a key and its value, in place of ``ttl``; where it returns
        ``None``, ``ttl`` holds. Not with a far tier, whose other readers would not know of it.
    ``jitter``
        share of ``ttl``, 0.0 to 1.0, of which a random part is cut off, so that values that came together do
        not expire together. ``None`` is up to 0.05 for values that come with others (from `put_many`, a
        backfill or a batch), and nothing for one that comes alone, or where ``ttl_of`` decides. A value is
        never fresh for longer than its ttl.
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
    ttl_of: Callable[[Any, Any], Seconds | None] | None = None
    jitter: float | None = None
    stale_for: float = 0.0
    stale_wait: float | None = 0.0
    retry_after: float = 1.0
    early: float = 0.0
    absent_ttl: float | None = None
    absent_capacity: int = 10_000
    seed: int | None = None

    if TYPE_CHECKING:

        def __init__(  # noqa: PLR0913 - for type checkers
            self,
            *,
            ttl: Seconds | None = ...,
            ttl_of: Callable[[Any, Any], Seconds | None] | None = ...,
            jitter: float | None = ...,
            stale_for: Seconds = ...,
            stale_wait: Seconds | None = ...,
            retry_after: Seconds = ...,
            early: float = ...,
            absent_ttl: Seconds | None = ...,
            absent_capacity: int = ...,
            seed: int | None = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        convert(
            self,
            ttl=positive_seconds_or_none,
            stale_for=seconds,
            stale_wait=seconds_or_none,
            retry_after=positive_seconds,
            absent_ttl=positive_seconds_or_none,
        )
        if self.jitter is not None:
            real("jitter", self.jitter, least=0.0, most=1.0)
        real("early", self.early, least=0.0, most=1000.0)
        whole("absent_capacity", self.absent_capacity, least=1)
        whole_or_none("seed", self.seed, least=0)
        if self.ttl is None and self.ttl_of is None:
            for name in ("jitter", "stale_for", "early"):
                if getattr(self, name):
                    raise ConfigurationError(name, "has no effect without ttl; set ttl as well")
