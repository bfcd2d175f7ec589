"""Settings that most users leave alone, in small frozen groups; each checks itself."""

from __future__ import annotations

from dataclasses import dataclass

from async_backfill.limits import flag, positive_seconds_or_none, seconds, whole


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
    """

    max_batch: int = 500
    concurrency: int = 10
    timeout: float | None = 30.0
    linger: float = 0.0

    def __post_init__(self) -> None:
        whole("max_batch", self.max_batch, least=1)
        whole("concurrency", self.concurrency, least=1)
        positive_seconds_or_none("timeout", self.timeout)
        seconds("linger", self.linger)


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
    """

    window: int = 1000
    min_lookups: int = 3
    evicts: bool = False
    inline: bool = False
    concurrent: int = 1

    def __post_init__(self) -> None:
        whole("window", self.window, least=1)
        whole("min_lookups", self.min_lookups, least=1)
        flag("evicts", self.evicts)
        flag("inline", self.inline)
        whole("concurrent", self.concurrent, least=1)
