"""How the source is called, and when it is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from async_backfill._common.validation import (
    convert,
    flag,
    positive_seconds,
    positive_seconds_or_none,
    seconds,
    whole,
    whole_or_none,
)
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from async_backfill.contracts import Seconds

ContextName: TypeAlias = Literal["opening", "caller"]
CONTEXTS: Final[tuple[ContextName, ...]] = get_args(ContextName)


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
        the largest number of ``load_many`` calls at once; ``None`` for 10, or for as many as the source says
        (``CallLimits.concurrency``, with `each` 100). A load that waits for another key of the cache does
        not count while it waits, so nested loads cannot block each other.
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
    ``context``
        the context variables that a call of the source sees. ``"opening"``: as they were where the cache was
        opened. ``"caller"``: as they are for the caller who first missed a key of the call, with his tenant
        or trace; a backfill has those of the opening. Each call has a copy of its own: what it sets there,
        no other call sees.
    """

    max_batch: int = 500
    concurrency: int | None = None
    timeout: float | None = 30.0
    linger: float = 0.0
    split_failed: bool = False
    circuit: CircuitPolicy | None = None
    context: ContextName = "opening"

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            max_batch: int = ...,
            concurrency: int | None = ...,
            timeout: Seconds | None = ...,
            linger: Seconds = ...,
            split_failed: bool = ...,
            circuit: CircuitPolicy | None = ...,
            context: ContextName = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        whole("max_batch", self.max_batch, least=1)
        whole_or_none("concurrency", self.concurrency, least=1)
        convert(self, timeout=positive_seconds_or_none, linger=seconds)
        flag("split_failed", self.split_failed)
        if not isinstance(self.circuit, CircuitPolicy | None):
            kind = type(self.circuit).__name__
            problem = f"must be a CircuitPolicy or None, not {self.circuit!r} (a {kind})"
            raise ConfigurationError("circuit", problem)
        if self.context not in CONTEXTS:
            names = ", ".join(map(repr, CONTEXTS))
            raise ConfigurationError("context", f"{self.context!r} is not one of {names}")
