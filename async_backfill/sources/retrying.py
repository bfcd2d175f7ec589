"""A source that retries another one after errors that may pass, with stamina; needs the extra ``retry``."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Generic

from async_backfill._common.error_text import error_line
from async_backfill._common.extras import needed_by
from async_backfill._common.validation import positive_seconds, seconds, whole
from async_backfill.contracts import K, LimitedSource, Source, V
from async_backfill.errors import ConfigurationError
from async_backfill.outcomes import Failed

with needed_by("async_backfill.sources.retrying", "retry", "stamina"):
    import stamina

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backfill.contracts import Seconds

__all__ = ["RetryingSource"]


class RetryingSource(LimitedSource, Generic[K, V]):
    """A source that calls ``source`` again when it raises an error of ``on``, or answers `Failed` with one.

    It asks again for the keys that failed, and keeps what it has of the others. Between two attempts it waits
    ``wait_initial`` seconds, twice as long each time, at most ``wait_max``, plus up to ``jitter`` seconds at
    random. The last error is that of the keys which still fail: it is raised unchanged when these are all.
    All attempts together are one call for the cache, under its timeout.

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
        """Return the answers of all attempts together, or raise the last error when each key failed."""
        answers: _Answers[K, V] = _Answers(keys, self._on)
        try:
            async for attempt in stamina.retry_context(
                on=(*self._on, _KeysFailedError),
                attempts=self._attempts,
                timeout=None,
                wait_initial=self._wait_initial,
                wait_max=self._wait_max,
                wait_jitter=self._jitter,
            ):
                with attempt:
                    answers.take(await self._source.load_many(answers.left))
        except _KeysFailedError:
            pass
        except Exception as error:
            if len(answers.left) == len(keys):
                raise
            answers.replace(dict.fromkeys(answers.left, Failed(error)))
        return answers.found


class _KeysFailedError(Exception):
    """Some keys have failed with errors that may pass; what else there is has been taken."""


class _Answers(Generic[K, V]):
    """What several attempts have ``found`` for ``keys``, and which of them are ``left`` to be asked for."""

    def __init__(self, keys: Sequence[K], on: tuple[type[Exception], ...]) -> None:
        self._keys = keys
        self._on = on
        self.left = keys
        self.found: Mapping[K, V | Failed] = {}

    def take(self, found: Mapping[K, V | Failed]) -> None:
        """Keep what was found for the keys that are left.

        :raises _KeysFailedError: when some of them are to be asked for again.
        """
        self.replace(found)
        if again := self._failed(found):
            self.found = dict(self.found)  # the source may use the same mapping again
            self.left = tuple(again)
            why = error_line(again[self.left[0]])
            raise _KeysFailedError(f"{len(again)} of {len(self._keys)} keys, {why}")

    def replace(self, found: Mapping[K, V | Failed]) -> None:
        """Put ``found`` in the place of what is there of the keys that are left."""
        if self.left is self._keys or not isinstance(found, Mapping):  # the cache refuses what is none
            self.found = found
        else:
            left = set(self.left)
            self.found = {key: it for key, it in self.found.items() if key not in left} | {**found}

    def _failed(self, found: object) -> Mapping[K, BaseException]:
        failed: dict[K, BaseException] = {}
        if not isinstance(found, Mapping):
            return failed
        for key in self.left:
            with suppress(Exception):  # of a mapping of its own: the cache reads it again, key by key
                answer = found.get(key)
                if isinstance(answer, Failed) and isinstance(answer.error, self._on):
                    failed[key] = answer.error
        return failed


def _check_kinds(kinds: Sequence[object]) -> None:
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            raise ConfigurationError("on", f"must be a kind of Exception, not {kind!r}")
    if not kinds:
        raise ConfigurationError("on", "must have at least one kind of error, or nothing would be retried")
