"""Make a source from a plain ``async def load(key)``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, cast

from anyio import CancelScope, create_task_group

from async_backfill._common.attempt import attempt
from async_backfill._common.validation import whole
from async_backfill.contracts import CallLimits, K, LimitedSource, Source, V
from async_backfill.errors import KeyNotFoundError
from async_backfill.outcomes import Failed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

__all__ = ["each"]


def each(load: Callable[[K], Awaitable[V]], /, *, concurrency: int = 100) -> Source[K, V]:
    """Return a source that awaits ``load(key)`` for each key.

    ``load`` returns the value, which may be ``None``, and raises `KeyNotFoundError` for a key that does
    not exist. Any other exception fails this one key. A cache makes a load of its own of each key, so each
    has its own timeout, and a slow one delays no other.

    :param concurrency: the largest number of calls of ``load`` at the same time, in one cache.
    :raises ConfigurationError: when ``concurrency`` is not a whole number of 1 or more.
    """
    return _Each(load, whole("concurrency", concurrency, least=1))


class _Each(LimitedSource, Generic[K, V]):
    def __init__(self, load: Callable[[K], Awaitable[V]], concurrency: int) -> None:
        self._load = load
        self._concurrency = concurrency
        self.call_limits = CallLimits(max_batch=1, concurrency=concurrency)

    async def load_many(self, keys: Sequence[K], /) -> Mapping[K, V | Failed]:
        if len(keys) == 1:
            # No other key can suffer, so an error that is not an Exception may end the whole call.
            try:
                return {keys[0]: await self._load(keys[0])}
            except KeyNotFoundError:
                return {}
            except Exception as error:  # noqa: BLE001 - it is handed to the waiting callers
                return {keys[0]: Failed(error)}
        answers: dict[K, V | Failed] = {}
        waiting = iter(keys)

        async def work() -> None:
            for key in waiting:
                await self._answer(key, answers)

        async with create_task_group() as calls:
            for _ in range(min(self._concurrency, len(keys))):
                calls.start_soon(work)
        return answers

    async def _answer(self, key: K, answers: dict[K, V | Failed]) -> None:
        call = await attempt(lambda: self._load(key), CancelScope())
        if isinstance(call.error, (KeyboardInterrupt, SystemExit)):
            raise call.error
        if call.error is None:
            answers[key] = cast("V", call.result)
        elif not isinstance(call.error, KeyNotFoundError):
            answers[key] = Failed(call.error)
