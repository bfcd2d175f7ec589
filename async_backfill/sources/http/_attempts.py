"""Bounded retries that obey ``Retry-After`` and the deadline of the load."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from anyio import Semaphore, current_effective_deadline, current_time, move_on_after, sleep

from async_backfill._common.validation import convert, positive_seconds, seconds, whole
from async_backfill.sources.http._answers import HTTPSourceError, NoAnswerError, StatusError, status_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from async_backfill.contracts import Seconds
    from async_backfill.sources.http._answers import Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """The rules for sending a request again.

    ``attempts``
        the largest number of requests for one answer, 1 or more; a request that the service put off
        (``Retry-After``) does not count: only the deadline bounds those.
    ``attempt_timeout``
        seconds after which one request is cancelled and counts as failed.
    ``wait_initial``, ``wait_max``
        seconds before the second attempt, doubled before each later one, and the largest wait; half of
        each wait is random (Marc Brooker, "Exponential Backoff And Jitter", 2015: "equal jitter").
    ``max_pause``
        the longest time, in seconds, for which one ``Retry-After`` holds back the requests of other keys.

    :raises ConfigurationError: when a value is not allowed.
    """

    attempts: int = 3
    attempt_timeout: float = 10.0
    wait_initial: float = 0.1
    wait_max: float = 5.0
    max_pause: float = 60.0

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            attempts: int = ...,
            attempt_timeout: Seconds = ...,
            wait_initial: Seconds = ...,
            wait_max: Seconds = ...,
            max_pause: Seconds = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        whole("attempts", self.attempts, least=1)
        convert(
            self,
            attempt_timeout=positive_seconds,
            wait_initial=positive_seconds,
            wait_max=positive_seconds,
            max_pause=seconds,
        )

    def wait(self, tried: int) -> float:
        """Return the seconds to wait after ``tried`` attempts."""
        if tried == 0:
            return 0.0
        longest = min(self.wait_max, math.ldexp(self.wait_initial, min(tried, 500) - 1))
        return longest * (0.5 + random.random() / 2)


class Attempts:
    """The requests of one source: retried, at most ``concurrency`` at once, none during a pause.

    A ``Retry-After`` holds for all keys: a service that is busy with one is busy with the next.
    """

    # No library of retries has a pause that all keys share and that is not a failed attempt, so these retries
    # are our own: see decision 43 in notes.md.

    def __init__(self, policy: RetryPolicy, *, concurrency: int) -> None:
        self._policy = policy
        self._places = Semaphore(concurrency)
        self._pause_ends = -math.inf
        self._paused_by = 0

    async def ask(self, send: Callable[[], Awaitable[Answer]], shown: str) -> Answer:
        """Return the first answer of ``send`` that a later try would not change.

        The deadline is that of the enclosing cancel scope. A wait that would pass it fails at once.

        :param shown: the URL as errors show it.
        :raises NoAnswerError: when the last attempt got no answer.
        :raises StatusError: when it got a temporary error status, or the service asks for a pause that ends
            after the deadline.
        """
        failed = told = 0
        last: HTTPSourceError | None = None
        try:
            while True:
                await self._wait(self._policy.wait(failed + told), last, shown)
                last = None
                try:
                    answer = await self._send(send, shown)
                except NoAnswerError as error:
                    last = error
                else:
                    if not answer.may_pass:
                        return answer
                    last = answer.refusal(shown)
                    if answer.pause is not None:
                        told += 1
                        self._obey(answer, answer.pause, shown)
                        continue
                failed += 1
                if failed >= self._policy.attempts:
                    raise last
        finally:
            last = None  # the error's traceback refers to this frame: avoid a reference cycle

    async def _send(self, send: Callable[[], Awaitable[Answer]], shown: str) -> Answer:
        timeout = self._policy.attempt_timeout
        async with self._places:
            with move_on_after(timeout):
                return await send()
        raise NoAnswerError(f"no answer from {shown} within {timeout} s (RetryPolicy.attempt_timeout)")

    def _obey(self, answer: Answer, pause: float, shown: str) -> None:
        left = _time_left()
        ends = current_time() + min(pause, self._policy.max_pause)
        if ends > self._pause_ends:
            self._pause_ends = ends
            self._paused_by = answer.status
        if pause >= left:
            raise _too_late(answer.status, pause, left, shown)

    async def _wait(self, backoff: float, last: HTTPSourceError | None, shown: str) -> None:
        while True:
            pause = max(self._pause_ends - current_time(), 0.0)
            left = _time_left()
            if pause and pause >= left:
                raise _too_late(self._paused_by, pause, left, shown)
            if last is not None and pause + backoff >= left:
                raise last
            if not pause + backoff:
                return
            await sleep(pause + backoff)
            backoff = 0.0  # loop again: another request may have started a new pause


def _time_left() -> float:
    return current_effective_deadline() - current_time()


def _too_late(status: int, pause: float, left: float, shown: str) -> StatusError:
    wish = f"asks for a pause of {pause:.4g} s (Retry-After)"
    late = f"only {max(left, 0.0):.3g} s are left" if left < math.inf else "which would never end"
    return StatusError(
        f"HTTP {status_name(status)} from {shown}, which {wish}; {late}", status=status, retry_after=pause
    )
