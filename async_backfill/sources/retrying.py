"""A source whose passing errors are retried, with stamina; needs the extra ``retry``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

import stamina

from async_backfill._common.validation import positive_seconds, seconds, whole
from async_backfill.contracts import K, Source, V
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from async_backfill.outcomes import Failed


class RetryingSource(Generic[K, V]):
    """Asks ``source`` again when it raises one of ``on``, at most ``attempts`` times altogether.

    Between two attempts it waits: ``wait_initial`` seconds, twice as long each time, ``wait_max`` at
    the most, plus up to ``jitter`` seconds at random. The last error is raised as it is. All attempts
    are one call of the cache, under its timeout, and end with it.

    :param on: the errors that may pass, such as ``ConnectionError``; programming errors must not be
        among them.
    :param attempts: 2 or more.
    :raises ConfigurationError: for a value outside of that, or ``on`` that is no kind of `Exception`.
    """

    def __init__(
        self,
        source: Source[K, V],
        *,
        on: type[Exception] | tuple[type[Exception], ...],
        attempts: int = 3,
        wait_initial: float = 0.1,
        wait_max: float = 5.0,
        jitter: float = 1.0,
    ) -> None:
        self._source = source
        self._on = on if isinstance(on, tuple) else (on,)
        _check_kinds(self._on)
        self._attempts = whole("attempts", attempts, least=2)
        self._wait_initial = positive_seconds("wait_initial", wait_initial)
        self._wait_max = positive_seconds("wait_max", wait_max)
        self._jitter = seconds("jitter", jitter)

    async def load_many(self, keys: Sequence[K], /) -> Mapping[K, V | Failed]:
        """Return what the source answers at last, or raise its last error."""
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
            raise ConfigurationError("on", f"{kind!r} is not a kind of Exception")
    if not kinds:
        raise ConfigurationError("on", "names no error, so nothing would be retried")
