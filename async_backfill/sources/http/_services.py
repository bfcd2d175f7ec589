"""What a source asks its service with; another one in each event loop and process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from anyio.lowlevel import current_token

from async_backfill.errors import LoadError

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_backfill.sources.http._answers import Answer
    from async_backfill.sources.http._attempts import Attempts
    from async_backfill.sources.http._batch import BatchRequest
    from async_backfill.sources.http._batch_size import BatchSize
    from async_backfill.sources.http._exchange import Exchange


class Service(NamedTuple):
    """The connections to a service, and what was learned of it."""

    exchange: Exchange
    attempts: Attempts
    size: BatchSize

    async def ask(self, request: BatchRequest, place: str) -> Answer:
        """Send ``request``, again where the attempts say so, and return its answer."""
        return await self.attempts.ask(lambda: self.exchange.ask(request, place), place)


class Services:
    """The service in the event loop and the process that use it now.

    :param make: makes the service; asyncio runs.
    :param shown: the name of the service in errors.
    """

    def __init__(self, make: Callable[[], Service], shown: str) -> None:
        self._make = make
        self._shown = shown
        self._service: Service | None = None
        self._opened_in: tuple[int, Any] | None = None
        self._left: list[Service] = []
        self._is_closed = False

    def open(self) -> None:
        """Open the service, also after it was closed."""
        self._is_closed = False
        self.current()

    def current(self) -> Service:
        """Return the service, which is made when it is used for the first time here.

        :raises LoadError: when it is closed, in use in another event loop, or asyncio does not run.
        """
        if self._is_closed:
            raise LoadError(f"{self._shown}: the source is closed: use it inside 'async with'")
        here = os.getpid(), current_token().native_token
        if self._service is not None and self._opened_in is not None and self._opened_in != here:
            process, loop = self._opened_in
            if process == here[0] and not loop.is_closed():
                which = "is used in another event loop, which has not ended: make one for each event loop"
                raise LoadError(f"{self._shown}: the source {which}")
            # Kept, as after a fork: to let a connection of the parent go may close it for the parent, too.
            self._left.append(self._service)
            self._service = None
        if not hasattr(here[1], "is_closed"):
            raise LoadError(f"{self._shown}: the source needs asyncio, which does not run here")
        if self._service is None:
            self._service, self._opened_in = self._make(), here
        return self._service

    async def aclose(self) -> None:
        """Close all connections, and refuse to make new ones until it is opened again."""
        self._is_closed = True
        service, self._service = self._service, None
        if service is None:
            return
        if self._opened_in == (os.getpid(), current_token().native_token):
            await service.exchange.aclose()
        else:
            self._left.append(service)  # as in `current`
