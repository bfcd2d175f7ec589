"""Orders that reach a whole fleet: sent to its channel, and heard from it."""

from __future__ import annotations

import logging
import secrets
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from weakref import ref

from anyio import Event, Lock, move_on_after, sleep

from async_backfill._common.bounded_call import bounded, result_of
from async_backfill._common.error_text import error_line
from async_backfill._common.line_a_second import LineASecond
from async_backfill._common.log_lines import CacheLog
from async_backfill.contracts import K, V
from async_backfill.errors import ConfigurationError, StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from async_backfill._session.control.orders import Orders
    from async_backfill._session.control.standing import Standing
    from async_backfill.contracts import Clock, ControlChannel, ControlOrder, Spawn

T = TypeVar("T")

_LOGGER: Final = logging.getLogger("async_backfill.control")
_TIMEOUT: Final = 2.0
_BETWEEN_LOOKS: Final = 5.0
_ID: Final = 8
_ONLY_HERE: Final = (
    "%s was carried out in this process, but it is not known whether the others have it: give it again "
    "once the channel answers"
)


class FleetOrders(Generic[K, V]):
    """Sends orders to ``channel``, and carries out those of others in the order of their versions.

    A message says that there is something new; every five seconds it looks without one. When the channel
    cannot be reached, what stands here stays.

    :param orders: carries them out.
    :param spawn: starts a task of the cache.
    """

    def __init__(
        self,
        channel: ControlChannel,
        orders: Orders[K, V],
        standing: Standing,
        *,
        clock: Clock,
        spawn: Spawn,
        cache: str | None,
    ) -> None:
        self._channel = channel
        self._orders = orders
        self._standing = standing
        self._spawn = spawn
        self._log = LineASecond(CacheLog(_LOGGER, cache), clock)
        self._news = _News()
        self._looking = Lock()

    async def give(self, order: ControlOrder) -> Any:
        """Carry ``order`` out here, and send it to the others.

        :raises StoreError: when the channel did not take it; it was carried out here nevertheless.
        """
        order = replace(order, id=secrets.token_hex(_ID))
        self._standing.give(order)
        if order.verb == "invalidate":  # first, or others would find the old value in the far tier again
            try:
                return await self._orders.carry_out(order)
            finally:
                await self._sent(order)
        failure: StoreError | None = None
        try:
            order = await self._sent(order)
        except StoreError as error:
            failure = error
        result = await self._orders.carry_out(order)
        if failure is not None:
            raise failure
        return result

    async def join(self) -> None:
        """Obey what stands, then listen."""
        await self.look()
        # Tasks that knew this would keep a cache from being let go that is dropped while it is open.
        fleet: ref[FleetOrders[K, V]] = ref(self)
        self._spawn(partial(_listen, self._channel, self._news, fleet))
        self._spawn(partial(_watch, self._news, fleet))

    async def _sent(self, order: ControlOrder) -> ControlOrder:
        """Send ``order`` to the others, and return it with its version."""
        # Of before: a look may hear of this order, and of later ones, before its version is here.
        latest, losses = self._standing.latest, self._standing.losses
        try:
            version = await self._within_time(lambda: self._channel.send(order))
        except StoreError as error:
            self.failed(error)
            raise StoreError(f"{_ONLY_HERE % order.verb}: {error}") from error
        if version <= latest:
            with move_on_after(_TIMEOUT):
                async with self._looking:  # a look that runs may have read what is lost
                    pass
            if self._standing.losses == losses:  # nobody has noticed meanwhile
                self._start_again()
        order = replace(order, version=version)
        self._standing.saw(order)
        return order

    async def look(self) -> None:
        """Carry out what is new, if the channel can be reached."""
        try:
            async with self._looking:
                await self._look()
        except StoreError as error:
            self.failed(error)
        else:
            self._standing.channel_error = None

    async def _look(self) -> None:
        """Carry out what is new."""
        standing = self._standing
        version, orders = await self._within_time(self._channel.standing)
        if standing.seen is None:
            await self._obey(orders)
            standing.seen = version
            return
        if version < standing.seen or standing.has_others(orders):
            self._start_again()
        seen = standing.seen
        if version == seen:
            return
        news = await self._within_time(lambda: self._channel.since(seen))
        if not news or news[0].version > seen + 1:
            self._log.warning("orders of others were missed, so the memory is emptied")
            news = sorted({one.version: one for one in (*orders, *news)}.values(), key=_version)
            self._orders.forget(None)
        await self._obey(news)
        standing.seen = max(version, standing.seen, *(one.version for one in news))

    def _start_again(self) -> None:
        self._log.warning("the channel has lost all orders; what stands in this process stays")
        self._standing.start_again()

    async def _obey(self, orders: Sequence[ControlOrder]) -> None:
        for order in orders:
            self._standing.saw(order)
            try:
                if self._standing.is_own(order):
                    if order.decides:  # one of others may have come in between
                        self._orders.decide(order)
                else:
                    await self._orders.carry_out(order, elsewhere=True)
            except Exception as error:  # noqa: BLE001 - of an order of another release, or of nobody's
                said = error_line(error)
                self._log.warning("%s of %s was not carried out here: %s", order.verb, order.by, said)

    def failed(self, error: BaseException) -> None:
        """Take note that the channel could not be reached."""
        self._standing.channel_failures += 1
        self._standing.channel_error = error_line(error)
        self._log.warning("orders do not reach this process, what stands stays: %s", error_line(error))

    async def _within_time(self, call: Callable[[], Awaitable[T]]) -> T:
        ended = await bounded(call, _TIMEOUT, self._spawn)
        if isinstance(ended.error, ConfigurationError):
            raise ended.error
        return result_of(ended, "the control channel is not available", f"no answer within {_TIMEOUT} s")


class _News:
    """Whether there may be orders that nobody has looked at."""

    def __init__(self) -> None:
        self._event = Event()

    def set(self) -> None:
        """Say that there may be some."""
        self._event.set()

    async def wait(self) -> None:
        """Wait for that, for as long as there may be between two looks."""
        with move_on_after(_BETWEEN_LOOKS):
            await self._event.wait()
        self._event = Event()


async def _listen(channel: ControlChannel, news: _News, fleet: ref[FleetOrders[K, V]]) -> None:
    while True:
        try:
            await channel.listen(news.set)
        except Exception as error:  # noqa: BLE001 - of a channel of the user's own
            if (still_there := fleet()) is not None:
                still_there.failed(error)
                del still_there
        await sleep(_BETWEEN_LOOKS)


async def _watch(news: _News, fleet: ref[FleetOrders[K, V]]) -> None:
    while True:
        await news.wait()
        if (still_there := fleet()) is not None:
            await still_there.look()
            del still_there


def _version(order: ControlOrder) -> int:
    return order.version
