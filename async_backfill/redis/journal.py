"""A hot-key journal in Redis, so that a new process on any machine knows the hot keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anyio import to_thread

from async_backfill._common.journal_format import JournalKeys, decode, encode
from async_backfill.contracts import NeedsAsyncio
from async_backfill.errors import JournalError
from async_backfill.redis._keyspace import Keyspace

if TYPE_CHECKING:
    from async_backfill.contracts import Heats
    from async_backfill.redis.connection import RedisConnection

__all__ = ["RedisJournal"]


class RedisJournal(NeedsAsyncio):
    """A journal of hot keys in one Redis value; implements `Journal`.

    Caches that save under the same name replace each other's heats. That does no harm where requests are
    spread over the processes at random: all heats are then alike.

    :param connection: a connection made by `async_backfill.redis.connect`; the caller closes it.
    :param namespace: the namespace of the cache, as for `RedisStore`.
    :param name: the name of the journal in the namespace.
    :param key_type: the classes of keys that are no standard types, as for `RedisStore`.
    :raises ConfigurationError: when a setting is not allowed.
    """

    def __init__(
        self, connection: RedisConnection, *, namespace: str, name: str = "hot", key_type: Any = Any
    ) -> None:
        self._connection = connection
        self._keys = JournalKeys(key_type)
        self._name = Keyspace[str](namespace, str).name(f"journal:{name}")

    async def load(self) -> Heats[Any] | None:
        """Return the heats saved last; ``None`` when there are none.

        :raises JournalError: when the value is damaged, not a journal, or written by a newer version.
        :raises RedisError: when Redis does not answer.
        """
        content = await self._connection.execute("GET", self._name, key=self._name)
        if content is None:
            return None
        try:
            return await to_thread.run_sync(decode, content, self._keys, abandon_on_cancel=True)
        except ValueError as error:
            raise JournalError(f"{self._name.decode()}: {error}") from error

    async def save(self, heats: Heats[Any], /) -> None:
        """Replace the saved heats by ``heats``.

        :raises RedisError: when Redis did not accept them; the heats saved before are still there.
        """
        content = await to_thread.run_sync(encode, heats, self._keys, abandon_on_cancel=True)
        await self._connection.execute("SET", self._name, content, key=self._name)
