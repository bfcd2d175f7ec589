"""Several servers in the URL of an engine."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from async_backfill._common.server_hosts import ServerHosts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine

_CONNECTING: Final = 5.0


def hosts_of(engine: AsyncEngine) -> Sequence[tuple[str, int]]:
    """Return the hosts and ports that the URL of ``engine``, of PostgreSQL, lists; none when it has one."""
    settings = engine.dialect.create_connect_args(engine.url)[1]
    hosts: Any = settings.get("host") or ""
    ports: Any = settings.get("port")
    if isinstance(hosts, str):  # psycopg's
        hosts, ports = hosts.split(","), str(ports).split(",")
    return list(zip(hosts, ports, strict=False)) if len(hosts) > 1 else ()


def connect_in_turn(engine: AsyncEngine) -> None:
    """Have asyncpg connect to one of the servers of the URL in 5 seconds, whichever of them is silent."""
    if engine.dialect.driver != "asyncpg" or not (hosts := hosts_of(engine)):
        return
    connect = partial(ServerHosts(hosts).connect, engine.dialect.loaded_dbapi.asyncpg.connect)

    def choose(_dialect: object, _record: object, _arguments: object, settings: dict[str, Any]) -> None:
        settings["timeout"] = float(settings.get("timeout", _CONNECTING))
        settings.setdefault("async_creator_fn", connect)

    sa.event.listen(engine.sync_engine, "do_connect", choose)
