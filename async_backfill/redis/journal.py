"""The hot-key journal in Redis: one value, so that a new process anywhere knows what was hot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anyio import to_thread

from async_backfill._common.journal_format import decode, encode
from async_backfill.errors import JournalError
from async_backfill.redis._keyspace import Keyspace

if TYPE_CHECKING:
    from async_backfill.contracts import Heats
    from async_backfill.redis.connection import RedisConnection

__all__ = ["RedisJournal"]


class RedisJournal:
    """Keeps the heats of keys under ``name`` in ``namespace``; a `async_backfill.contracts.Journal`.

    Caches that save under one name replace what the others saved: that is as good as their own where
    requests are spread at random.

    :param connection: a connection from `connect`; the caller closes it.
    :raises RedisError: from `save`, when Redis did not take it; what was saved before is still there.
    """

    def __init__(self, connection: RedisConnection, *, namespace: str, name: str = "hot") -> None:
        self._connection = connection
        self._name = Keyspace[str](namespace, str).name(f"journal:{name}")

    async def load(self) -> Heats[Any] | None:
        """Return what was saved last, or ``None`` when nothing was.

        :raises JournalError: when it is damaged, is something else, or was written by a newer version.
        :raises RedisError: when Redis does not answer.
        """
        content = await self._connection.execute("GET", self._name, key=self._name)
        if content is None:
            return None
        try:
            return await to_thread.run_sync(decode, content, abandon_on_cancel=True)
        except ValueError as error:
            raise JournalError(f"{self._name.decode()}: {error}") from error

    async def save(self, heats: Heats[Any], /) -> None:
        """Keep ``heats`` in place of what was saved before."""
        content = await to_thread.run_sync(encode, heats, abandon_on_cancel=True)
        await self._connection.execute("SET", self._name, content, key=self._name)
