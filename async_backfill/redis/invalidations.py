"""Invalidations through Redis: tell the other processes which keys have changed."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections import Counter
from contextlib import suppress
from copy import copy
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NoReturn

import msgspec

from async_backfill._common.each_process import EachProcess
from async_backfill._common.line_a_second import LineASecond
from async_backfill._common.loose_types import K
from async_backfill._common.validation import positive_seconds
from async_backfill._envelopes.keyspace import Keyspace
from async_backfill._envelopes.signing import SIGNATURE, Signer
from async_backfill.contracts import AccessCheck, NeedsAsyncio, SharedInvalidations
from async_backfill.redis._message_sizes import in_messages, in_portions
from async_backfill.redis._rights import MissingRights
from async_backfill.redis.errors import RedisError, RedisReplyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from async_backfill.contracts import Seconds
    from async_backfill.redis.connection import RedisConnection

__all__ = ["RedisInvalidations"]

_SENDER: Final = 8
_VERSION: Final = b"\x02"
_SIGNED: Final = b"\x03"
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 1.0
_LOGGER: Final = logging.getLogger("async_backfill.far")


class RedisInvalidations(NeedsAsyncio, AccessCheck, SharedInvalidations[K]):
    """Invalidations on a channel of Redis; implements `Invalidations`.

    While the connection is up, a message arrives once, after the latency of the network. When the connection
    is lost, also silently, `listen` calls ``forget(None)``, which means every key: within ``bound`` seconds,
    again every ``bound`` seconds while it stays lost, and once when it is up again. So after ``publish`` has
    returned, no listening cache serves an older value for longer than ``bound`` seconds. Not promised are:
    that a message arrives before ``publish`` returns, and anything for a process that is stopped or does not
    run its event loop.

    One object may be given to several caches, and to a copy of rows beside them: each cache publishes under a
    name of its own. Who uses it without a cache hears everything but what this object published.

    :param connection: a connection made by `async_backfill.redis.connect`; the caller closes it.
    :param namespace: the namespace of the caches that share invalidations, as for `RedisStore`.
    :param key_type: the classes of keys that are no standard types, as for `RedisStore`. Needed for named
        tuples only where a cache relies on getting them; for enums, data classes and Structs always.
    :param bound: the longest time in seconds for which the loss of the connection can go unnoticed; also that
        of a failover, when the name then leads to another server.
    :param signing_key: a secret of 16 bytes or more, the same in all processes; messages without its
        signature are ignored. Without a key, anybody who can publish can have keys forgotten.
    :raises ConfigurationError: when a setting is not allowed.
    """

    # After a loss nobody knows which messages were missed, so everything is forgotten: see decision 37 in
    # notes.md. That is also why a message that cannot be read means every key, if its signature is right.

    def __init__(
        self,
        connection: RedisConnection,
        *,
        namespace: str,
        key_type: type[K] | Any = Any,
        bound: Seconds = 10.0,
        signing_key: bytes | None = None,
    ) -> None:
        self._connection = connection
        self._keyspace: Keyspace[K] = Keyspace(namespace, key_type)
        self._channel = self._keyspace.name("invalidations")
        self._bound = positive_seconds("bound", bound)
        self._sender = EachProcess(partial(secrets.token_bytes, _SENDER))
        self._echoes = 0
        self._signer = Signer(signing_key, b"message", self._channel)
        self._version = _SIGNED if self._signer else _VERSION
        self._log = LineASecond(_LOGGER, time.monotonic)
        self._rejected: Counter[str] = Counter()

    @property
    def rejected(self) -> Mapping[str, int]:
        """The number of messages that could not be used, by reason; a live view."""
        return MappingProxyType(self._rejected)

    def of_one_cache(self) -> RedisInvalidations[K]:
        """Return invalidations for one cache, which asks when it opens; `rejected` is that of all."""
        one = copy(self)
        one._sender = EachProcess(partial(secrets.token_bytes, _SENDER))  # noqa: SLF001 - of this class
        one._echoes = 0  # noqa: SLF001
        return one

    async def publish(self, keys: Sequence[K] | None, /) -> None:
        """Tell all other caches to forget ``keys``; ``None`` means every key.

        :raises RedisError: when the server did not accept the message.
        :raises KeyRefusedError: for keys that the others could not decode; the rest was published.
        """
        packed, refusal = ([], None) if keys is None else self._keyspace.packed(keys)
        messages: Iterable[list[bytes] | None] = (None,) if keys is None else in_messages(packed)
        for message in messages:
            head, content = self._sender.get() + self._version, msgspec.msgpack.encode(message)
            await self._publish(self._channel, head + self._signer.of(head + content) + content)
        if refusal is not None:
            raise refusal

    async def listen(self, forget: Callable[[Sequence[K] | None], None], /) -> NoReturn:
        """Call ``forget`` with the keys that others publish, until cancelled; with ``None`` after a loss.

        A message that cannot be read means every key. With a signing key one without the right signature is
        ignored. Both are counted in `rejected`, and logged once a second at the most.
        """
        loop = asyncio.get_running_loop()
        due, pause = loop.time() + self._bound, _FIRST_PAUSE
        channels = [self._channel, self._own]
        while True:
            is_connected = False
            try:
                async with (
                    asyncio.timeout_at(due) as deadline,
                    # Half of the bound without a message is a loss; the other half remains for forgetting.
                    self._connection.subscribe(*channels, heartbeat=self._bound / 4) as messages,
                ):
                    deadline.reschedule(None)
                    is_connected = True
                    forget(None)
                    probing = loop.create_task(self._probe(deadline, has_echo=len(channels) > 1))
                    try:
                        async for channel, payload in messages:
                            if channel == self._own:
                                self._echoes += 1
                            else:
                                await self._hear(payload, forget)
                    finally:
                        probing.cancel()
                        await asyncio.wait([probing])
            except (RedisError, TimeoutError) as error:
                if is_connected:
                    due, pause = loop.time() + self._bound / 2, _FIRST_PAUSE
                    channels = [self._channel, self._own]
                refusal = error.code if isinstance(error, RedisReplyError) else ""
                if refusal == "NOPERM" and len(channels) > 1:
                    del channels[1:]  # the right to one channel will do, though less is noticed
                    continue
                if is_connected or refusal:
                    why = str(error) or "messages do not come back"
                    self._log.warning("no invalidations are received until it is connected again: %s", why)
            next_try = loop.time() + pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads the tries of a fleet
            pause = min(2.0 * pause, _LONGEST_PAUSE)
            await asyncio.sleep(min(next_try, due) - loop.time())
            if loop.time() >= due:
                forget(None)
                due += self._bound

    @property
    def _own(self) -> bytes:
        """The channel that only this process listens to."""
        return self._channel + b"!" + self._sender.get().hex().encode()

    async def missing_rights(self) -> Sequence[str]:
        """Return what the server's ACL does not let invalidations do, on one line with the rule to set."""
        rights = MissingRights(self._connection, self._keyspace.namespace)
        own = self._channel
        await rights.of([("UNLINK", own), ("PUBLISH", own + b"!" + bytes(1), "")], own)
        for channel in (own, self._own):
            await rights.of_channel(channel)
        return rights.lines("invalidations")

    async def _publish(self, channel: bytes, payload: bytes) -> None:
        # A replica takes messages that no primary sees, but it refuses to write.
        commands = (("UNLINK", self._channel), ("PUBLISH", channel, payload))
        written, published = await self._connection.pipeline(commands, keys=[self._channel] * 2)
        if isinstance(published, RedisReplyError):
            raise published
        if isinstance(written, RedisReplyError) and written.code != "NOPERM":
            raise written

    async def _probe(self, deadline: asyncio.Timeout, *, has_echo: bool) -> None:
        """End the subscription when a message does not come back: commands go to another server than it."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._bound / 2)
            echoes, sent = self._echoes, loop.time()
            with suppress(RedisError):  # what else is wrong with the server shows in the subscription itself
                await self._publish(self._own, b"")
                await asyncio.sleep(max(0.0, sent + self._bound / 4 - loop.time()))
                if has_echo and self._echoes == echoes:
                    deadline.reschedule(loop.time())

    async def _hear(self, payload: bytes, forget: Callable[[Sequence[K] | None], None]) -> None:
        if payload[:_SENDER] == self._sender.get():
            return
        content = self._opened(payload)
        if content is None:
            if not self._signer:
                forget(None)
            return
        try:
            packed = msgspec.msgpack.decode(content, type=list[bytes] | None)
            if packed is None:
                forget(None)
                return
            for some in in_portions(packed):
                forget([self._keyspace.unpack(key) for key in some])
                await asyncio.sleep(0)
        except ValueError as error:
            self._reject("unreadable", f"cannot be read, so all is forgotten: {error}")
            forget(None)

    def _opened(self, payload: bytes) -> bytes | None:
        """Return what stands in ``payload`` after head and signature; ``None`` if it is not to be used."""
        head, content = payload[: _SENDER + 1], payload[_SENDER + 1 :]
        version = head[_SENDER:]
        if not self._signer:
            if version == _VERSION:
                return content
            reason = "signed" if version == _SIGNED else "other_version"
            self._reject(reason, "is signed" if version == _SIGNED else "is of another version")
        elif version != _SIGNED:
            self._reject("unsigned", "is not signed, and ignored")
        elif not self._signer.verifies(content[:SIGNATURE], head + content[SIGNATURE:]):
            self._reject("badly_signed", "has a wrong signature, and is ignored")
        else:
            return content[SIGNATURE:]
        return None

    def _reject(self, reason: str, what: str) -> None:
        self._rejected[reason] += 1
        self._log.warning("a message on %s %s", self._channel.decode(), what)
