"""The schema of a state on a server: made where there is none, and refused where it is not ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import asyncpg

from async_backfill._jobs._errors import JobStateError
from async_backfill._jobs._state.schema import APPLICATION, VERSION, server_layout
from async_backfill._jobs._state.server.errors import FOREIGN

if TYPE_CHECKING:
    from uuid import UUID

    from async_backfill._jobs._state.server.place import StatePlace

# Each statement sees what was committed before it, and from here on no other transaction of the state runs.
ALONE: Final = "pg_advisory_xact_lock(hashtextextended('async_backfill jobs ' || $1, 0))::text = ''"
"""Waits until no other transaction of the schema ``$1`` is open."""

LAST_COMMIT: Final = "SELECT number FROM last_commit WHERE process = $1"
"""The number of the last transaction of a process that was committed."""

_LEAST_VERSION: Final = 13  # it makes identities
# Not by the server's numbers of transactions: a replica that takes over may give them to others.
_COMMITS: Final = (
    "CREATE TABLE last_commit"
    " (process UUID PRIMARY KEY, number BIGINT NOT NULL, at TIMESTAMPTZ NOT NULL DEFAULT now())"
)
_OLD_COMMITS: Final = "DELETE FROM last_commit WHERE at < now() - interval '1 day'"
# In the transaction alone, so that they hold behind a pooler, too. Who stopped in the midst of it, as a
# machine that sleeps, keeps the others for 10 s.
_BEGIN: Final = (
    'BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL search_path TO "{}";'
    " SET LOCAL statement_timeout TO 10000; SET LOCAL lock_timeout TO 5000;"
    " SET LOCAL idle_in_transaction_session_timeout TO 10000"
)
_TABLES: Final = (
    "SELECT c.relname FROM pg_namespace n LEFT JOIN pg_class c"
    " ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'v', 'm', 'f') WHERE n.nspname = $1"
)


def begin_in(schema: str) -> str:
    """Return the statements that begin a transaction in ``schema``, whose name needs no escape."""
    return _BEGIN.format(schema)


def noted_commit(process: UUID, number: int) -> str:
    """Return the statements that commit a transaction, and tell `LAST_COMMIT` so."""
    return (
        f"INSERT INTO last_commit VALUES ('{process}', {number})"  # noqa: S608 - ours
        " ON CONFLICT (process) DO UPDATE SET number = excluded.number, at = now(); COMMIT"
    )


async def identity_in(connection: Any, place: StatePlace, *, create: bool) -> str:
    """Return the identity of the state at ``place``; make it, if it may be made, where there is none.

    :raises JobStateError: when there is none, or one of other software or of another release: nothing in it
        has changed.
    """
    if connection.get_server_version().major < _LEAST_VERSION:
        raise JobStateError(f"{place.shown}: PostgreSQL {_LEAST_VERSION} or later is needed")
    await connection.execute(begin_in(place.schema))
    await connection.fetchval(f"SELECT {ALONE}", place.schema)
    found = await connection.fetch(_TABLES, place.schema)
    tables = {table for (table,) in found} - {None}
    if "about" not in tables:
        if tables:
            raise JobStateError(f"{place.shown}: {FOREIGN}")
        if not create:
            raise JobStateError(
                f"{place.shown}: there is no such state of jobs: plan a job, or name its schema"
            )
        for statement in (*(() if found else (f'CREATE SCHEMA "{place.schema}"',)), *server_layout()):
            await connection.execute(statement)
    identity = await _checked(connection, place)
    if "last_commit" not in tables:
        await connection.execute(_COMMITS)
    elif create:  # others may be allowed to read only
        await connection.execute(_OLD_COMMITS)
    await connection.execute("COMMIT")
    return identity


async def _checked(connection: Any, place: StatePlace) -> str:
    try:
        about = await connection.fetch("SELECT application, version, identity::text FROM about")
    except asyncpg.UndefinedColumnError:
        about = []
    if len(about) != 1 or about[0][0] != APPLICATION:
        raise JobStateError(f"{place.shown}: {FOREIGN}")
    ((_, version, identity),) = about
    if version != VERSION:
        ours = f"its format is {version}, this release has {VERSION}"
        raise JobStateError(f"{place.shown}: {ours}: use the release that made it, or name another schema")
    return str(identity)
