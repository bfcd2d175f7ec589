"""The state of jobs in PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from async_backfill._common.each_process import EachProcess
from async_backfill._common.extras import needed_by
from async_backfill._common.validation import positive_seconds
from async_backfill._jobs._errors import JobStateError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from async_backfill._jobs._state.server.session import StateServer
    from async_backfill.contracts import Seconds, Transaction

T = TypeVar("T")


class PostgresJobState:
    """The state of jobs in a schema of PostgreSQL, which any number of hosts share; implements `JobState`.

    Use it in ``async with``, on asyncio; it needs the extra ``sql``, and PostgreSQL 13 or later. The clock is
    the server's, so leases do not depend on those of the hosts. Transactions run one after the other, as in a
    file. One that was in the way of others, or met a server that went away, is tried again; one whose commit
    was not answered is looked up, so that nothing is done twice. A schema that is damaged, of other software
    or of another release is refused with a `JobStateError`, and nothing in it is changed.

    :param url: such as ``postgresql://user:password@host/database``, with ``?schema=`` where it is not
        ``async_backfill``; other settings are those of asyncpg, such as ``sslmode``. It may list several
        servers, ``host:5432,host:5432``: the one that takes writes is used. No error shows a password.
    :param create: whether the schema is made if it is not there.
    :param patience: seconds for which a call waits for a server that has gone away.
    """

    def __init__(self, url: str, *, create: bool = True, patience: Seconds = 5.0) -> None:
        with needed_by("a state of jobs in PostgreSQL", "sql", "asyncpg", "greenlet", "sqlalchemy"):
            from async_backfill._jobs._state.server.place import place_of  # noqa: PLC0415 - the extra is optional
            from async_backfill._jobs._state.server.session import StateServer  # noqa: PLC0415 - as above
        place, seconds = place_of(url), positive_seconds("patience", patience)
        self._shown = place.shown
        self._new_server = lambda: StateServer(place, create=create, patience=seconds)
        self._server: EachProcess[StateServer] | None = None

    async def __aenter__(self) -> Self:
        server = EachProcess(self._new_server)
        await server.get().open()
        self._server = server
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        server, self._server = self._server, None
        if server is not None:
            await server.get().close()

    async def transact(self, work: Callable[[Transaction], T], /) -> T:
        """Run ``work`` in one transaction, alone, and commit; roll back what it raises.

        :raises JobStateError: when the server cannot be used; nothing of the transaction is kept then.
        :raises JobError: when it is not known whether it was kept, because the server did not come back.
        """
        if self._server is None:
            raise JobStateError(f"{self._shown}: this state is not open: use it in `async with`")
        return await self._server.get().transact(work)
