"""Connections to the server of a state that takes writes, wherever it is now."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from async_backfill._common.server_hosts import ServerHosts
from async_backfill._jobs._state.server.errors import TROUBLE

if TYPE_CHECKING:
    from async_backfill._jobs._state.server.place import StatePlace

_CONNECTING: Final = 5.0
_ANSWER: Final = 15.0  # seconds for an answer, beyond those that the server gives itself
_CLOSING: Final = 2.0


class Connector:
    """Connects to the server of ``place``, or that of its servers which takes writes."""

    def __init__(self, place: StatePlace) -> None:
        self._place = place
        self._connect: Any = asyncpg.connect
        if place.hosts:
            self._connect = partial(ServerHosts(place.hosts).connect, asyncpg.connect)

    async def connection(self) -> Any:
        """Return a new connection."""
        return await self._connect(
            dsn=self._place.dsn,
            target_session_attrs=self._place.target,
            timeout=_CONNECTING,
            command_timeout=_ANSWER,
            server_settings={"application_name": "async_backfill jobs"},
        )


async def close(connection: Any) -> None:
    """Close a connection, at once if the server does not answer."""
    try:
        await connection.close(timeout=_CLOSING)
    except (*TROUBLE, asyncio.CancelledError):
        connection.terminate()
