"""Orders to all caches of a test, in memory."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from anyio import Event
from anyio.lowlevel import checkpoint

from async_backfill.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from async_backfill.contracts import ControlOrder

_KEPT: Final = 100


class MemoryControl:
    """A channel for the orders to all caches of a test; implements `ControlChannel`.

    ``is_up``
        whether it answers; otherwise each call fails, and nobody hears anything.
    """

    def __init__(self) -> None:
        self.is_up = True
        self._version = 0
        self._orders: deque[ControlOrder] = deque(maxlen=_KEPT)
        self._standing: dict[str, ControlOrder] = {}
        self._news = Event()

    async def send(self, order: ControlOrder, /) -> int:
        """Keep ``order`` and tell the other caches; return its version."""
        await self._answer()
        self._version += 1
        order = replace(order, version=self._version)
        self._orders.append(order)
        self._standing.update(dict.fromkeys(order.decides, order))
        self._news.set()
        self._news = Event()
        return self._version

    async def standing(self) -> tuple[int, Sequence[ControlOrder]]:
        """Return the version of the latest order, and the orders that stand."""
        await self._answer()
        orders = {order.version: order for order in self._standing.values()}
        return self._version, [orders[version] for version in sorted(orders)]

    async def since(self, version: int, /) -> Sequence[ControlOrder]:
        """Return those of the latest hundred orders that came after ``version``, oldest first."""
        await self._answer()
        return [order for order in self._orders if order.version > version]

    async def listen(self, heard: Callable[[], None], /) -> None:
        """Call ``heard`` after each order, until cancelled."""
        while True:
            await self._news.wait()
            if self.is_up:
                heard()

    async def _answer(self) -> None:
        await checkpoint()
        if not self.is_up:
            raise StoreError("the channel is down")
