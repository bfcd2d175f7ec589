"""Invalidations through Redis: tell the other processes which keys have changed."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn

import msgspec

from async_backfill._common.each_process import EachProcess
from async_backfill._common.validation import positive_seconds
from async_backfill.contracts import K, NeedsAsyncio
from async_backfill.redis._keyspace import Keyspace
from async_backfill.redis.errors import RedisError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from async_backfill.redis.connection import RedisConnection

__all__ = ["RedisInvalidations"]

_SENDER: Final = 8
_VERSION: Final = b"\x02"
_MOST_BYTES: Final = 500_000
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 1.0
_BETWEEN_WARNINGS: Final = 1.0
_LOGGER: Final = logging.getLogger("async_backfill.far")


class RedisInvalidations(NeedsAsyncio, Generic[K]):
    """Invalidations on a channel of Redis; implements `Invalidations`.

    While the connection is up, a message arrives once, after the latency of the network. When the connection
    is lost, also silently, `listen` calls ``forget(None)``, which means every key: within ``bound`` seconds,
    again every ``bound`` seconds while it stays lost, and once when it is up again. So after ``publish`` has
    returned, no listening cache serves an older value for longer than ``bound`` seconds. Not promised are:
    that a message arrives before ``publish`` returns, and anything for a process that is stopped or does not
    run its event loop.

    :param connection: a connection made by `async_backfill.redis.connect`; the caller closes it.
    :param namespace: the namespace of the caches that share invalidations, as for `RedisStore`.
    :param key_type: the classes of keys that are no standard types, as for `RedisStore`. Needed for named
        tuples only where a cache relies on getting them; for enums, data classes and Structs always.
    :param bound: the longest time in seconds for which the loss of the connection can go unnoticed.
    :raises ConfigurationError: when a setting is not allowed.
    """

    # After a loss nobody knows which messages were missed, so everything is forgotten: see decision 37 in
    # notes.md. That is also why a message that cannot be read means every key.

    def __init__(
        self,
        connection: RedisConnection,
        *,
        namespace: str,
        key_type: type[K] | Any = Any,
        bound: float = 10.0,
    ) -> None:
        self._connection = connection
        self._keyspace: Keyspace[K] = Keyspace(namespace, key_type)
        self._channel = self._keyspace.name("invalidations")
        self._bound = positive_seconds("bound", bound)
        self._sender = EachProcess(partial(secrets.token_bytes, _SENDER))

    async def publish(self, keys: Sequence[K] | None, /) -> None:
        """Tell all other caches to forget ``keys``; ``None`` means every key.

        :raises RedisError: when the server did not accept the message.
        :raises KeyRefusedError: for keys that the others could not decode; the rest was published.
        """
        packed, refusal = ([], None) if keys is None else self._keyspace.packed(keys)
        messages: Iterable[list[bytes] | None] = (None,) if keys is None else _messages(packed)
        for message in messages:
            payload = self._sender.get() + _VERSION + msgspec.msgpack.encode(message)
            await self._connection.execute("PUBLISH", self._channel, payload)
        if refusal is not None:
            raise refusal

    async def listen(self, forget: Callable[[Sequence[K] | None], None], /) -> NoReturn:
        """Call ``forget`` with the keys that others publish, until cancelled; with ``None`` after a loss.

        A message that cannot be read means every key.
        """
        loop = asyncio.get_running_loop()
        due, pause = loop.time() + self._bound, _FIRST_PAUSE
        next_warning = loop.time()
        while True:
            is_connected = False
            try:
                async with (
                    asyncio.timeout_at(due) as deadline,
                    # Half of the bound without a message is a loss; the other half remains for forgetting.
                    self._connection.subscribe(self._channel, heartbeat=self._bound / 4) as messages,
                ):
                    deadline.reschedule(None)
                    is_connected = True
                    forget(None)
                    async for _, payload in messages:
                        self._hear(payload, forget)
            except (RedisError, TimeoutError) as error:
                if is_connected:
                    due, pause = loop.time() + self._bound / 2, _FIRST_PAUSE
                if is_connected and loop.time() >= next_warning:
                    next_warning = loop.time() + _BETWEEN_WARNINGS
                    _LOGGER.warning(
                        "no invalidations are received until the connection is up again: %s", error
                    )
            next_try = loop.time() + pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads the tries of a fleet
            pause = min(2.0 * pause, _LONGEST_PAUSE)
            await asyncio.sleep(min(next_try, due) - loop.time())
            if loop.time() >= due:
                forget(None)
                due += self._bound

    def _hear(self, payload: bytes, forget: Callable[[Sequence[K] | None], None]) -> None:
        if payload[:_SENDER] == self._sender.get():
            return
        try:
            packed = msgspec.msgpack.decode(payload[_SENDER + len(_VERSION) :], type=list[bytes] | None)
            is_ours = payload[_SENDER : _SENDER + 1] == _VERSION
            keys = None if packed is None or not is_ours else [self._keyspace.unpack(key) for key in packed]
        except ValueError:
            keys = None
        forget(keys)


def _messages(packed: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Yield the messages for ``packed`` keys: as few as possible, each of at most about 500 kB."""
    message: list[bytes] = []
    size = 0
    for key in packed:
        if message and size + len(key) > _MOST_BYTES:
            yield message
            message, size = [], 0
        message.append(key)
        size += len(key)
    if message:
        yield message
