"""A source that retries another one after errors that may pass, with stamina; needs the extra ``retry``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from async_backfill._common.extras import needed_by
from async_backfill._common.validation import positive_seconds, seconds, whole
from async_backfill.contracts import K, LimitedSource, Source, V
from async_backfill.errors import ConfigurationError

with needed_by("async_backfill.sources.retrying", "retry", "stamina"):
    import stamina

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from async_backfill.contracts import Seconds
    from async_backfill.outcomes import Failed

__all__ = ["RetryingSource"]


class RetryingSource(LimitedSource, Generic[K, V]):
    """A source that calls ``source`` again when it raises an error of ``on``.

    Between two attempts it waits ``wait_initial`` seconds, twice as long each time, at most ``wait_max``,
    plus up to ``jitter`` seconds at random. The last error is raised unchanged. All attempts together are
    one call for the cache, under its timeout.

    :param on: the errors that may pass, such as ``ConnectionError``; never programming errors.
    :param attempts: the largest number of calls, the first included; 2 or more.
    :raises ConfigurationError: when a setting is not allowed, or ``on`` has something else than kinds of
        `Exception`.
    """

    def __init__(
        self,
        source: Source[K, V],
        *,
        on: type[Exception] | tuple[type[Exception], ...],
        attempts: int = 3,
        wait_initial: Seconds = 0.1,
        wait_max: Seconds = 5.0,
        jitter: Seconds = 1.0,
    ) -> None:
        self._source = source
        if isinstance(source, LimitedSource):
            self.call_limits = source.call_limits
        self._on = on if isinstance(on, tuple) else (on,)
        _check_kinds(self._on)
        self._attempts = whole("attempts", attempts, least=2)
        self._wait_initial = positive_seconds("wait_initial", wait_initial)
        self._wait_max = positive_seconds("wait_max", wait_max)
        self._jitter = seconds("jitter", jitter)

    async def load_many(self, keys: Sequence[K], /) -> Mapping[K, V | Failed]:
        """Return the answer of the first attempt that succeeds, or raise the last error."""
        answer: Mapping[K, V | Failed] = {}
        async for attempt in stamina.retry_context(
            on=self._on,
            attempts=self._attempts,
            timeout=None,
            wait_initial=self._wait_initial,
            wait_max=self._wait_max,
            wait_jitter=self._jitter,
        ):
            with attempt:
                answer = await self._source.load_many(keys)
        return answer


def _check_kinds(kinds: Sequence[object]) -> None:
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            raise ConfigurationError("on", f"must be a kind of Exception, not {kind!r}")
    if not kinds:
        raise ConfigurationError("on", "must have at least one kind of error, or nothing would be retried")
