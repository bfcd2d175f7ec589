"""One source call, under its timeout, and how it ended."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic

from anyio import CancelScope, current_time, move_on_after

from async_backfill.attempt import attempt
from async_backfill.contracts import K, V
from async_backfill.errors import LoadError, LoadTimeoutError
from async_backfill.events import LoadFinished
from async_backfill.loading.batch import Batch, BatchState
from async_backfill.loading.circles import running_batch
from async_backfill.outcomes import Failed, LoadCause

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from async_backfill.contracts import Clock, Source
    from async_backfill.loading.signals import Signal
    from async_backfill.policies import LoadPolicy


@dataclass(slots=True)  # a frozen one takes three times as long to make, once for each load
class Ended(Generic[K, V]):
    """How a source call ended: what it found or why it failed, and the event that tells of it.

    ``must_stop`` says that the error wants the task to end, ``stopped`` that the call was cancelled.
    """

    found: Mapping[K, V | Failed]
    error: BaseException | None
    must_stop: bool
    stopped: bool
    event: LoadFinished

    @property
    def failed(self) -> bool:
        """Whether the source delivered nothing but failures."""
        answers = self.found.values()
        return self.error is not None or (
            bool(self.found) and all(isinstance(answer, Failed) for answer in answers)
        )


async def linger(batch: Batch[Any, Any], policy: LoadPolicy, signal: Callable[[], Signal]) -> None:
    """Leave a live ``batch`` open for ``policy.linger`` seconds, or until it is full."""
    if policy.linger and batch.cause is LoadCause.MISS and len(batch.keys) < policy.max_batch:
        batch.full = signal()
        with move_on_after(policy.linger):
            await batch.full.wait()


async def call_source(
    source: Source[K, V], batch: Batch[K, V], keys: Sequence[K], policy: LoadPolicy, clock: Clock
) -> Ended[K, V]:
    """Call ``source.load_many`` with ``keys`` of ``batch``, for ``policy.timeout`` seconds at the most.

    Whatever the source raises is in the result; only a cancellation of the whole cache is raised.
    """
    batch.state = BatchState.LOADING
    timeout = policy.timeout
    asked = tuple(keys)
    scope = batch.scope = CancelScope(deadline=math.inf if timeout is None else current_time() + timeout)
    started = clock()
    token = running_batch.set(batch)
    try:
        call = await attempt(lambda: _answers(source, asked), scope)
    finally:
        running_batch.reset(token)
    found: Mapping[K, V | Failed] = call.result or {}
    error = call.error
    if call.stopped:
        found, error = {}, _stopped(batch, timeout)
        error.__cause__ = call.error
    delivered = tuple(key for key in asked if key in found and not isinstance(found[key], Failed))
    event = LoadFinished(
        cause=batch.cause,
        keys=asked,
        found=delivered,
        along=tuple(key for key in delivered if key in batch.along) if batch.along else (),
        seconds=clock() - started,
        error=error,
    )
    return Ended(found, error, call.must_stop, call.stopped, event)


async def _answers(source: Source[K, V], keys: tuple[K, ...]) -> dict[K, V | Failed]:
    """Return the source's answers as they are now: what it hands out may be lazy, or used again."""
    answer: object = await source.load_many(keys)
    if not isinstance(answer, Mapping):
        kind = type(source).__name__
        raise TypeError(f"{kind}.load_many must return a mapping, not {type(answer).__name__}")
    return {key: answer[key] for key in keys if key in answer}


def _stopped(batch: Batch[Any, Any], timeout: float | None) -> BaseException:
    """Return why a call did not come to its end."""
    if batch.state is not BatchState.LANDED:
        return LoadTimeoutError(f"the source took longer than {timeout} s (LoadPolicy.timeout)")
    return batch.error or LoadError("cancelled: nobody waits for it any more")
