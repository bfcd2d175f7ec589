"""A schema of PostgreSQL: made, checked, and written in one transaction after the other."""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import uuid4

import asyncpg
from anyio import CancelScope, current_time, sleep
from sqlalchemy.util import await_only, greenlet_spawn

from async_backfill._common.line_a_second import LineASecond
from async_backfill._jobs._errors import JobError, JobStateError
from async_backfill._jobs._state.server.connecting import Connector, close
from async_backfill._jobs._state.server.errors import GONE, TROUBLE, is_away, is_conflict, words
from async_backfill._jobs._state.server.layout import (
    ALONE,
    LAST_COMMIT,
    begin_in,
    identity_in,
    noted_commit,
)
from async_backfill._jobs._state.server.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from async_backfill._jobs._state.server.place import StatePlace
    from async_backfill.contracts import Transaction

T = TypeVar("T")

_LOGGER: Final = logging.getLogger("async_backfill.jobs")
_UNANSWERED: Final = 300.0  # seconds for which a commit that was not answered is looked up
_TRIES: Final = 6
_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 1.0

_OPEN: Final = (
    f"SELECT CASE WHEN {ALONE} THEN extract(epoch FROM clock_timestamp())::float8 END,"  # noqa: S608
    " current_setting('transaction_read_only'), (SELECT identity::text FROM about)"
)


class _Open:
    """An open transaction; implements `Transaction`. Its statements run in the event loop, and wait there."""

    def __init__(self, connection: Any, now: float, texts: dict[str, str]) -> None:
        self._connection = connection
        self._now = now
        self._texts = texts
        self.writes = False

    def rows(self, statement: str, /, *values: Any) -> Sequence[tuple[Any, ...]]:
        """Run ``statement`` and return the rows of its answer."""
        self.writes = self.writes or not statement.startswith("SELECT ")
        text = self._texts.get(statement)
        if text is None:
            text = self._texts[statement] = _numbered(statement)
        # PostgreSQL has no text with a zero in it.
        given = [value.replace("\0", "\ufffd") if isinstance(value, str) else value for value in values]
        return [tuple(row) for row in await_only(self._connection.fetch(text, *given))]

    def now(self) -> float:
        """Return the time at which the transaction began, by the clock of the server."""
        return self._now


class StateServer:
    """The one connection of this process to the schema; its calls wait, and raise `JobStateError`.

    :param create: whether a schema that is not there is made.
    :param patience: seconds for which a call waits for a server that has gone away.
    """

    def __init__(self, place: StatePlace, *, create: bool, patience: float) -> None:
        self._place = place
        self._create = create
        self._patience = patience
        self._begin = begin_in(place.schema)
        self._turns = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection: Any = None
        self._process = uuid4()
        self._number = 0
        self._identity: str | None = None
        self._texts: dict[str, str] = {}
        self._connector = Connector(place)
        self._log = LineASecond(_LOGGER, current_time)

    async def open(self) -> None:
        """Open the schema, or make it; a server that is not there is not waited for."""
        self._come_here()
        async with self._turns:
            await Turn(self._no_work).run(self._prepared)

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with CancelScope(shield=True):
                await close(connection)

    async def transact(self, work: Callable[[Transaction], T]) -> T:
        """Return the result of ``work``, in one transaction that is committed unless it raises."""
        if self._identity is None:  # a process that was forked
            await self.open()
        self._come_here()
        async with self._turns:
            return await Turn(work).run(self._done)

    def _come_here(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise self._error("it needs asyncio, which does not run here") from None
        if self._loop is not None and self._loop is not loop:
            raise self._error("it is open in another event loop: open it in each one that uses it")
        self._loop = loop

    async def _prepared(self, turn: Turn[None]) -> None:
        try:
            turn.enter("connects")
            connection = await self._connected()
            turn.enter("works")
            try:
                identity = await identity_in(connection, self._place, create=self._create)
            except BaseException:
                self._connection = None
                await close(connection)
                raise
        except TROUBLE as error:
            raise self._error(words(error)) from error
        self._create = False
        self._identity = identity

    async def _done(self, turn: Turn[T]) -> T:
        """Try a call again while it is in the way of others, or the server is away; each within bounds."""
        tries, away_since, pause = 1, None, _FIRST_PAUSE
        while True:
            try:
                if turn.unanswered is None or not await self._was_kept(turn, turn.unanswered):
                    turn.unanswered = None
                    await self._try(turn)
            except TROUBLE as error:
                if is_conflict(error) and tries < _TRIES:
                    tries, turn.unanswered = tries + 1, None
                elif not is_away(error):
                    raise self._error(words(error)) from error
                else:
                    away_since = current_time() if away_since is None else away_since
                    self._bear(error, away_since, turn)
            else:
                return turn.result  # type: ignore[return-value] # it is there once the work is done
            turn.enter("waits")
            await sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
            pause = min(_LONGEST_PAUSE, 2 * pause)

    def _bear(self, error: Exception, since: float, turn: Turn[Any]) -> None:
        """Take note that the server is away; raise once that has lasted too long."""
        seconds = self._patience if turn.unanswered is None else _UNANSWERED
        if current_time() < since + seconds:
            self._log.warning("the state of jobs is waited for: %s: %s", self._place.shown, words(error))
        elif turn.unanswered is None:
            raise self._error(words(error)) from error
        else:
            unknown = f"whether a change was kept is not known, and was not found out within {seconds:g} s"
            raise JobError(f"{self._place.shown}: {unknown}: {words(error)}") from error

    async def _try(self, turn: Turn[T]) -> None:
        """Do the work of ``turn`` in one transaction."""
        turn.enter("connects")
        connection = await self._connected()
        try:
            turn.enter("asks")
            await connection.execute(self._begin)
            now, reads_only, identity = await connection.fetchrow(_OPEN, self._place.schema)
            if reads_only == "on":  # it was set to since
                raise asyncpg.ReadOnlySQLTransactionError("it only reads")  # noqa: TRY301 - as a write would
            if identity != self._identity:
                raise self._error(GONE)  # noqa: TRY301 - rolled back as all others
            turn.enter("works")
            tx = _Open(connection, now, self._texts)
            turn.result = await greenlet_spawn(turn.work, tx)
            commit = "COMMIT"
            if tx.writes:  # what only reads may be done twice
                self._number += 1
                turn.unanswered = self._number
                commit = noted_commit(self._process, self._number)
            if await connection.execute(commit) != "COMMIT":
                raise self._error("the transaction had failed, and its work went on")  # noqa: TRY301 - as above
            turn.unanswered = None
        except BaseException as error:
            await self._undo(connection, error)
            raise

    async def _was_kept(self, turn: Turn[Any], number: int) -> bool:
        """Return whether a transaction was committed whose commit was not answered.

        :raises TimeoutError: while that is not decided.
        """
        turn.enter("connects")
        connection = await self._connected()
        try:
            await connection.execute(self._begin)
            # The last transaction has ended then, wherever it is.
            await connection.fetchval(f"SELECT {ALONE}", self._place.schema)
            last = await connection.fetchval(LAST_COMMIT, self._process)
            await connection.execute("COMMIT")
        except (asyncpg.LockNotAvailableError, asyncpg.QueryCanceledError) as error:
            await self._undo(connection, error)
            raise TimeoutError("its last transaction has not ended") from error
        except BaseException as error:
            await self._undo(connection, error)
            raise
        return bool(last == number)

    async def _undo(self, connection: Any, error: BaseException) -> None:
        """Roll back; a connection that is lost, or on which a statement may run, is given up."""
        if not (is_away(error) or isinstance(error, asyncio.CancelledError)):
            with suppress(*TROUBLE):
                await connection.execute("ROLLBACK")
                return
        self._connection = None
        await close(connection)

    async def _connected(self) -> Any:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._connector.connection()
        return self._connection

    def _error(self, said: str) -> JobStateError:
        return JobStateError(f"{self._place.shown}: {said}")

    @staticmethod
    def _no_work(_: object) -> None:
        """Do nothing: to open a schema is no transaction of anybody's."""


def _numbered(statement: str) -> str:
    """Return ``statement`` with ``$1`` and so on where values stand as ``?``."""
    first, *others = statement.split("?")
    return first + "".join(f"${number}{part}" for number, part in enumerate(others, 1))
