"""One source call with a timeout, and its result."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic
from weakref import ref

from anyio import (
    CancelScope,
    current_effective_deadline,
    get_cancelled_exc_class,
    move_on_after,
)

from async_backfill._common.other_keys import failures
from async_backfill._loading.batch import Batch, BatchState
from async_backfill._loading.cycles import running_batch
from async_backfill._loading.eager_step import Rest
from async_backfill.contracts import K, V
from async_backfill.errors import LoadError, LoadTimeoutError
from async_backfill.events import LoadFinished
from async_backfill.outcomes import Failed, LoadCause

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from contextvars import Context
    from weakref import ReferenceType

    from async_backfill._loading.overdue import Overdue
    from async_backfill._loading.signals import Signal
    from async_backfill.contracts import Clock, Source
    from async_backfill.policies import LoadPolicy


_OTHER_KEYS: Final = (
    "{}.load_many answered for {}; answer under the keys that were asked for, and leave out those that do "
    "not exist"
)


@dataclass(slots=True)  # a frozen one takes three times as long to make, once for each load
class Ended(Generic[K, V]):
    """A source call that has ended: the keys ``asked`` for, what it ``found``, or its ``error``.

    ``must_stop``
        whether the task must end because of the error.
    ``stopped``
        whether the call was cancelled.
    ``seconds``
        how long it took.
    """

    batch: Batch[K, V]
    asked: tuple[K, ...]
    found: Mapping[K, V | Failed]
    error: BaseException | None
    must_stop: bool
    stopped: bool
    seconds: float

    @property
    def calls(self) -> Sequence[Ended[K, V]]:
        """This call alone: it was the only one of its batch."""
        return (self,)

    @property
    def delivered(self) -> list[K]:
        """The keys that got a value, in the order in which they were asked for."""
        return [key for key, answer in self.found.items() if not isinstance(answer, Failed)]

    @property
    def failures(self) -> Sequence[tuple[K, BaseException]]:
        """The keys that failed, each with its error: all that were asked for, when the call raised."""
        if self.error is not None:
            return [(key, self.error) for key in self.asked]
        return [(key, it.error) for key, it in self.found.items() if isinstance(it, Failed)]

    @property
    def reason(self) -> BaseException | None:
        """Why it `failed`: what it raised, or the first failure; ``None`` when it did not fail."""
        return self.failures[0][1] if self.failed else None

    def event(self) -> LoadFinished:
        """Return the event about this call."""
        delivered, along = tuple(self.delivered), self.batch.along
        return LoadFinished(
            cause=self.batch.cause,
            keys=self.asked,
            found=delivered,
            along=tuple(key for key in delivered if key in along),
            seconds=self.seconds,
            error=self.reason,
        )

    def event_of_failures(self) -> LoadFinished:
        """Return the event that a call for those keys alone that failed would have made."""
        failures = self.failures
        return LoadFinished(
            cause=self.batch.cause,
            keys=tuple(key for key, _ in failures),
            found=(),
            seconds=self.seconds,
            error=failures[0][1],
        )

    @property
    def failed(self) -> bool:
        """Whether the call raised, or each of its answers is a failure."""
        answers = self.found.values()
        return self.error is not None or (
            bool(self.found) and all(isinstance(answer, Failed) for answer in answers)
        )


async def linger(
    batch: Batch[Any, Any], seconds: float, max_batch: int, signal: Callable[[], Signal]
) -> None:
    """Wait ``seconds``, or until ``batch`` has ``max_batch`` keys, for more of them; not for a backfill."""
    if batch.cause is not LoadCause.BACKFILL and len(batch.keys) < max_batch:
        batch.full = signal()
        with move_on_after(seconds):
            await batch.full.wait()


async def call_source(
    source: Source[K, V],
    batch: Batch[K, V],
    keys: Sequence[K],
    *,
    context: Context,
    policy: LoadPolicy,
    clock: Clock,
    scope: CancelScope,
    overdue: Overdue[K, V],
) -> Ended[K, V]:
    """Call ``source.load_many`` with ``keys`` of ``batch``, for ``policy.timeout`` seconds at the most.

    Whatever the source raises is in the result; only a cancellation of the whole cache is raised.

    :param context: the context that the call runs in, unless it was begun in one.
    :param scope: cancel scope of the task, used by this call alone while it lasts. After a call that was
        ``stopped`` it cannot be used again, and the task must end.
    :param overdue: is told of the call, and may abandon it if it goes on after its timeout.
    """
    if not batch.is_landed:  # one that was begun at once may have been given up since
        batch.state = BatchState.LOADING
    batch.scope = scope
    asked = tuple(keys)
    due = overdue.begin(batch, asked)
    if due < math.inf:
        scope.deadline = due
    started = clock()
    if batch.since is None:
        batch.since = started
    begun, batch.begun = batch.begun, None
    call = Rest(answers_of(source, asked, ref(batch)), context) if begun is None else begun
    try:
        found, error, must_stop = await _caught(call, scope)
    finally:
        batch.scope = None
        if due < math.inf:
            scope.deadline = math.inf
            overdue.end(batch)
    stopped = error is not None and scope.cancel_called
    if stopped:
        cause, error = error, stop_reason(batch, policy.timeout)
        error.__cause__ = cause
    return Ended(batch, asked, found, error, must_stop, stopped, clock() - started)


async def answers_of(
    source: Source[K, V], keys: tuple[K, ...], batch: ReferenceType[Batch[K, V]]
) -> dict[K, V | Failed]:
    """Return a copy of the source's answer to ``keys``: its mapping may be lazy, or reused for the next call.

    A key that is missing from an answer with keys that were not asked for has failed: see `failures`.

    :param batch: the one that is loaded, as the context that this runs in will say.

    :raises TypeError: when the answer is not a mapping.
    """
    running_batch.set(batch)
    answer: object = await source.load_many(keys)
    if type(answer) is not dict and not isinstance(answer, Mapping):  # the second check is slow
        kind = type(source).__name__
        raise TypeError(f"{kind}.load_many must return a mapping, not {type(answer).__name__}")
    try:
        if len(keys) == 1:
            (key,) = keys
            if key in answer:
                return {key: answer[key]}
        found = {key: answer[key] for key in keys if key in answer}
    except Exception as error:  # noqa: BLE001 - of a mapping of its own, or of the code of a key
        found = _one_by_one(answer, keys, error)
    if len(found) < len(keys) and len(answer) > len(found):
        kind = type(source).__name__
        found.update(failures(keys, answer, lambda which: LookupError(_OTHER_KEYS.format(kind, which))))
    return found


def _one_by_one(answer: Mapping[K, V | Failed], keys: tuple[K, ...], error: Exception) -> dict[K, V | Failed]:
    """Return the ``answer`` to each of ``keys``, one of which raised ``error``; raise it if all do."""
    found: dict[K, V | Failed] = {}
    raised = 0
    for key in keys:
        with suppress(Exception):  # of the hash of a key
            try:
                if key in answer:
                    found[key] = answer[key]
            except Exception as own:  # noqa: BLE001 - it is the failure of this key
                raised += 1
                found[key] = Failed(own)
    if raised == len(keys):
        raise error
    return found


async def _caught(
    call: Awaitable[dict[K, V | Failed]], scope: CancelScope
) -> tuple[dict[K, V | Failed], BaseException | None, bool]:
    """Return the result of ``call``, its error, and whether the task must end because of it.

    This frame is part of the error's traceback, so it must not hold the batch: code that keeps the error
    would keep the whole cache alive. See decision 31 in notes.md.
    """
    try:
        return await call, None, False
    except get_cancelled_exc_class() as cancelled:
        # A source may raise this although nothing was cancelled: see `attempt`, decision 3 in notes.md.
        if not scope.cancel_called and current_effective_deadline() == -math.inf:
            raise
        return {}, cancelled, True
    except BaseException as raised:  # noqa: BLE001 - the waiters get it
        return {}, raised, isinstance(raised, (KeyboardInterrupt, SystemExit))


def stop_reason(batch: Batch[Any, Any], timeout: float | None) -> BaseException:
    """Return the reason why a call was cancelled or abandoned, as an exception."""
    if batch.state is not BatchState.LANDED:
        return LoadTimeoutError(f"the source took longer than {timeout} s (LoadPolicy.timeout)")
    return batch.error or LoadError("cancelled: no caller waits for it any more")
