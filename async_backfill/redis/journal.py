"""A hot-key journal in Redis, so that a new process on any machine knows the hot keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from anyio import to_thread

from async_backfill._common.journal_format import JournalKeys, decode, encode
from async_backfill._common.validation import whole
from async_backfill._envelopes.keyspace import Keyspace
from async_backfill._envelopes.signing import SIGNATURE, Signer
from async_backfill.contracts import AccessCheck, NeedsAsyncio
from async_backfill.errors import JournalError
from async_backfill.redis._bounded import TextTooLongError
from async_backfill.redis._rights import MissingRights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backfill.contracts import Heats
    from async_backfill.redis.connection import RedisConnection

__all__ = ["RedisJournal"]

_SIGNED: Final = b"signed 1\n"
_CONTENT_AT: Final = len(_SIGNED) + SIGNATURE


class RedisJournal(NeedsAsyncio, AccessCheck):
    """A journal of hot keys in one Redis value; implements `Journal`.

    Caches that save under the same name replace each other's heats. That does no harm where requests are
    spread over the processes at random: all heats are then alike.

    :param connection: a connection made by `async_backfill.redis.connect`; the caller closes it.
    :param namespace: the namespace of the cache, as for `RedisStore`.
    :param name: the name of the journal in the namespace.
    :param key_type: the classes of keys that are no standard types, as for `RedisStore`.
    :param signing_key: a secret of 16 bytes or more, the same in all processes; a journal without its
        signature is not used. Without a key, anybody who can write to the server can choose what is loaded.
    :param max_bytes: the largest size of a journal; a larger one is neither written nor read.
    :raises ConfigurationError: when a setting is not allowed.
    """

    def __init__(
        self,
        connection: RedisConnection,
        *,
        namespace: str,
        name: str = "hot",
        key_type: Any = Any,
        signing_key: bytes | None = None,
        max_bytes: int = 64_000_000,
    ) -> None:
        self._connection = connection
        self._namespace = namespace
        self._keys = JournalKeys(key_type)
        self._name = Keyspace[str](namespace, str).name(f"journal:{name}")
        self._signer = Signer(signing_key, b"journal", self._name)
        self._most = whole("max_bytes", max_bytes, least=1)

    async def load(self) -> Heats[Any] | None:
        """Return the heats saved last; ``None`` when there are none.

        :raises JournalError: when the value is damaged, not a journal, too large, not signed, or written by a
            newer version.
        :raises RedisError: when Redis does not answer.
        """
        try:
            content = await self._connection.execute("GET", self._name, key=self._name, most=self._most)
        except TextTooLongError as error:
            raise self._error(f"has more than {self._most} bytes (max_bytes)") from error
        if content is None:
            return None
        try:
            return await to_thread.run_sync(self._decoded, content, abandon_on_cancel=True)
        except ValueError as error:
            raise self._error(str(error)) from error

    async def save(self, heats: Heats[Any], /) -> None:
        """Replace the saved heats by ``heats``.

        :raises JournalError: when they take more than ``max_bytes``.
        :raises RedisError: when Redis did not accept them; the heats saved before are still there.
        """
        content = await to_thread.run_sync(self._encoded, heats, abandon_on_cancel=True)
        if len(content) > self._most:
            raise self._error(f"would have {len(content)} bytes, more than {self._most} (max_bytes)")
        await self._connection.execute("SET", self._name, content, key=self._name)

    async def missing_rights(self) -> Sequence[str]:
        """Return what the server's ACL does not let this journal do, on one line with the rule to set.

        :raises RedisError: when no server answered.
        """
        rights = MissingRights(self._connection, self._namespace)
        await rights.of([("SET", self._name, "", "XX", "NX")], self._name)
        return rights.lines("the journal")

    def _encoded(self, heats: Heats[Any]) -> bytes:
        content = encode(heats, self._keys)
        return _SIGNED + self._signer.of(content) + content if self._signer else content

    def _decoded(self, content: bytes) -> Heats[Any]:
        is_signed = content.startswith(_SIGNED)
        if is_signed is not bool(self._signer):
            raise ValueError("is signed, but there is no signing_key" if is_signed else "is not signed")
        if is_signed:
            signature, content = content[len(_SIGNED) : _CONTENT_AT], content[_CONTENT_AT:]
            if not self._signer.verifies(signature, content):
                raise ValueError("has a wrong signature")
        return decode(content, self._keys)

    def _error(self, problem: str) -> JournalError:
        return JournalError(f"{self._name.decode()}: {problem}")
