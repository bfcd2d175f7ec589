"""A simulated network link between a process and its far tier (L2)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from anyio import Event, move_on_after
from anyio.lowlevel import checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable

_ON_PURPOSE: Final = "the network link fails on purpose"


class NetworkLink:
    """A network link with controllable latency and failure.

    The call takes effect between the two latencies, so a caller that gives up while the answer is on its way
    has had its effect.

    :param latency: the seconds that a call needs to arrive; ``math.inf`` waits until the link fails.
    :param answer_latency: the seconds that the answer needs to come back; ``math.inf`` waits as well.
    """

    def __init__(self, *, latency: float = 0.0, answer_latency: float = 0.0) -> None:
        self.latency = latency
        self.answer_latency = answer_latency
        self._error: type[Exception] | None = None
        self._last_error: type[Exception] = ConnectionError
        self._turned = Event()
        self._callbacks: list[Callable[[], None]] = []

    @property
    def is_up(self) -> bool:
        """Whether the link works."""
        return self._error is None

    def fail(self, error: type[Exception] = ConnectionError) -> None:
        """Fail: all calls raise ``error`` from now on, those in progress included."""
        self._error = self._last_error = error
        self._turn()

    def recover(self) -> None:
        """Work again."""
        if self._error is not None:
            self._error = None
            self._turn()

    def add_callback(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` each time the link fails or recovers."""
        self._callbacks.append(callback)

    def remove_callback(self, callback: Callable[[], None]) -> None:
        """Stop calling ``callback``."""
        self._callbacks.remove(callback)

    async def there(self) -> None:
        """Wait until a call has arrived, or raise the link's error."""
        await self._cross(self.latency)

    async def back(self) -> None:
        """Wait until the answer has arrived, or raise the link's error."""
        if self.answer_latency:
            await self._cross(self.answer_latency)

    async def _cross(self, duration: float) -> None:
        await checkpoint()
        if self._error is None and duration:
            turned = self._turned
            with move_on_after(None if math.isinf(duration) else duration):
                await turned.wait()
                raise self._last_error(_ON_PURPOSE)  # even if the link has recovered since
        if self._error is not None:
            raise self._error(_ON_PURPOSE)

    def _turn(self) -> None:
        turned, self._turned = self._turned, Event()
        turned.set()
        for callback in tuple(self._callbacks):
            callback()
