"""How the source is called, and when it is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from async_backfill._common.validation import (
    convert,
    flag,
    positive_seconds,
    positive_seconds_or_none,
    seconds,
    whole,
)
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from async_backfill.contracts import Seconds


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

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            failures: int = ...,
            open_for: Seconds = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        whole("failures", self.failures, least=1)
        convert(self, open_for=positive_seconds)


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

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            max_batch: int = ...,
            concurrency: int = ...,
            timeout: Seconds | None = ...,
            linger: Seconds = ...,
            split_failed: bool = ...,
            circuit: CircuitPolicy | None = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        whole("max_batch", self.max_batch, least=1)
        whole("concurrency", self.concurrency, least=1)
        convert(self, timeout=positive_seconds_or_none, linger=seconds)
        flag("split_failed", self.split_failed)
        if not isinstance(self.circuit, CircuitPolicy | None):
            kind = type(self.circuit).__name__
            problem = f"must be a CircuitPolicy or None, not {self.circuit!r} (a {kind})"
            raise ConfigurationError("circuit", problem)
