"""The way from one process to a far store: as slow and as broken as a test wants it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from anyio import Event, move_on_after
from anyio.lowlevel import checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable

_ON_PURPOSE: Final = "the far store fails on purpose"


class NetworkLink:
    """Delays calls and fails them on purpose.

    ``latency`` is how many seconds a call needs to get there, ``answer_latency`` how many its answer
    needs to get back; ``math.inf`` has them wait until the link fails, or for ever. What a call does it
    does in between, so a caller that gives up while the answer is on its way has had its effect.
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
        """Whether calls get through."""
        return self._error is None

    def fail(self, error: type[Exception] = ConnectionError) -> None:
        """Have all calls raise ``error`` from now on, those under way included."""
        self._error = self._last_error = error
        self._turn()

    def recover(self) -> None:
        """Let calls through again."""
        if self._error is not None:
            self._error = None
            self._turn()

    def add_callback(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` each time the link fails or recovers."""
        self._callbacks.append(callback)

    def remove_callback(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` no more."""
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
                raise self._last_error(_ON_PURPOSE)  # even if it has recovered since
        if self._error is not None:
            raise self._error(_ON_PURPOSE)

    def _turn(self) -> None:
        turned, self._turned = self._turned, Event()
        turned.set()
        for callback in tuple(self._callbacks):
            callback()
