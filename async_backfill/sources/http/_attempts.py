"""Asking a service again: as often as it may pass, as late as it says, and never past the time left."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from anyio import Semaphore, current_effective_deadline, current_time, move_on_after, sleep

from async_backfill._common.validation import positive_seconds, seconds, whole
from async_backfill.sources.http._answers import HTTPSourceError, NoAnswerError, StatusError, status_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from async_backfill.sources.http._answers import Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When a request is sent again.

    ``attempts``
        requests for one answer at the most, 1 or more; those that the service asked to have later
        (``Retry-After``) are not counted, the time left bounds them.
    ``attempt_timeout``
        seconds after which one request is given up, and counts as failed.
    ``wait_initial``, ``wait_max``
        seconds before the second attempt, twice as many before each later one up to the most; half of
        each wait is at random (Marc Brooker, "Exponential Backoff And Jitter", 2015: "equal jitter").
    ``max_pause``
        seconds that one ``Retry-After`` keeps other keys from being asked for, at the most.

    :raises ConfigurationError: for a value outside of that.
    """

    attempts: int = 3
    attempt_timeout: float = 10.0
    wait_initial: float = 0.1
    wait_max: float = 5.0
    max_pause: float = 60.0

    def __post_init__(self) -> None:
        whole("attempts", self.attempts, least=1)
        positive_seconds("attempt_timeout", self.attempt_timeout)
        positive_seconds("wait_initial", self.wait_initial)
        positive_seconds("wait_max", self.wait_max)
        seconds("max_pause", self.max_pause)

    def wait(self, tried: int) -> float:
        """Return the seconds to wait when there were ``tried`` attempts."""
        if tried == 0:
            return 0.0
        longest = min(self.wait_max, math.ldexp(self.wait_initial, min(tried, 500) - 1))
        return longest * (0.5 + random.random() / 2)


class Attempts:
    """Sends the requests of one source: ``concurrency`` at once, and none while the service wants a pause.

    A ``Retry-After`` holds for all keys: a service that is busy with one is busy with the next.
    """

    def __init__(self, policy: RetryPolicy, *, concurrency: int) -> None:
        self._policy = policy
        self._places = Semaphore(concurrency)
        self._pause_ends = -math.inf
        self._paused_by = 0

    async def ask(self, send: Callable[[], Awaitable[Answer]], shown: str) -> Answer:
        """Return the first answer of ``send`` that a later try would not change.

        The time left is that of the cancel scope around. What would be too late is not waited for.

        :param shown: the URL as errors show it.
        :raises NoAnswerError: when the last attempt got no answer.
        :raises StatusError: when it got one that may pass, or the service wants a pause beyond the time left.
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
            last = None  # an error knows this frame, which must not know the error

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
            backoff = 0.0  # and look whether there is a new pause


def _time_left() -> float:
    return current_effective_deadline() - current_time()


def _too_late(status: int, pause: float, left: float, shown: str) -> StatusError:
    wish = f"wants to be left alone for {pause:.4g} s (Retry-After)"
    late = f"{max(left, 0.0):.3g} s are left" if left < math.inf else "that is not waited for"
    return StatusError(
        f"HTTP {status_name(status)} from {shown}, which {wish}; {late}", status=status, retry_after=pause
    )
