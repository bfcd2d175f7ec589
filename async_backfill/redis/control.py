"""Orders to all caches of a fleet, through Redis: one list, what stands of it, and a channel."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from base64 import b64decode, b64encode
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, cast, get_args

from async_backfill._common.line_a_second import LineASecond
from async_backfill._common.loose_types import K
from async_backfill._envelopes.keyspace import Keyspace
from async_backfill.contracts import AccessCheck, ControlOrder, ControlVerb, NeedsAsyncio
from async_backfill.errors import ConfigurationError
from async_backfill.redis._rights import MissingRights
from async_backfill.redis.errors import RedisError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from async_backfill.redis.connection import RedisConnection

__all__ = ["RedisControl"]

_SEND: Final = """
local version = redis.call('HINCRBY', KEYS[1], 'version', 1)
local order = string.format('%.0f', version) .. ' ' .. ARGV[2]
redis.call('RPUSH', KEYS[2], order)
redis.call('LTRIM', KEYS[2], -100, -1)
for at = 3, #ARGV do
    redis.call('HSET', KEYS[1], ARGV[at], order)
end
redis.call('PUBLISH', ARGV[1], version)
return version
"""
"""A Lua script that gives an order its version, keeps it, and says on the channel that there is one."""

_KEPT: Final = 100  # orders, as in the script
_LONGEST: Final = 1_000_000
_VERBS: Final = frozenset(get_args(ControlVerb))
_ORDER: Final = re.compile(rb"(\d{1,15}) (.*)", re.DOTALL)
_HEARTBEAT: Final = 2.5
_BETWEEN_TRIES: Final = 1.0
_LOGGER: Final = logging.getLogger("async_backfill.control")


class RedisControl(NeedsAsyncio, AccessCheck, Generic[K]):
    """Orders of people to the caches of a fleet; implements `ControlChannel`.

    The server gives each order its version, so all processes agree which is the latest. The latest hundred
    are kept, and what stands of all; nothing expires. Who may write to these keys can steer all caches.

    :param connection: a connection made by `async_backfill.redis.connect`; the caller closes it.
    :param namespace: the namespace that the processes share, as for `RedisStore`.
    :param key_type: the classes of keys that are no standard types, as for `RedisStore`: for ``invalidate``.
    :raises ConfigurationError: when a setting is not allowed.
    """

    def __init__(self, connection: RedisConnection, *, namespace: str, key_type: type[K] | Any = Any) -> None:
        self._connection = connection
        self._keyspace: Keyspace[K] = Keyspace(namespace, key_type)
        self._channel = self._keyspace.name("control")
        # The braces keep both in one hash slot of a cluster.
        self._standing = b"{" + self._channel + b"}standing"
        self._orders = b"{" + self._channel + b"}orders"
        self._log = LineASecond(_LOGGER, time.monotonic)

    async def send(self, order: ControlOrder, /) -> int:
        """Keep ``order`` and tell the other caches; return its version.

        :raises RedisError: when no server answered; the order may have been kept nevertheless.
        :raises ConfigurationError: for one of more than half a megabyte, or a key that others cannot decode.
        """
        facts = {
            "verb": order.verb,
            "by": order.by,
            "reason": order.reason,
            "time": order.time,
            "id": order.id,
            "details": dict(order.details),
        }
        if order.verb == "invalidate":
            facts["key"] = b64encode(self._keyspace.pack(order.key)).decode()
        text = json.dumps(facts)
        if len(text) > _LONGEST // 2:
            raise ConfigurationError("reason", f"must have less than {_LONGEST // 2} bytes, with by and key")
        arguments: list[bytes | str] = [self._channel, text, *order.decides]
        names = [self._standing, self._orders]
        return cast("int", await self._connection.script(_SEND, names, arguments))

    async def standing(self) -> tuple[int, Sequence[ControlOrder]]:
        """Return the version of the latest order, and the orders that stand, in the order of versions.

        :raises RedisError: when no server answered, or an entry is far too long to be an order.
        """
        found = await self._connection.execute("HGETALL", self._standing, key=self._standing, most=_LONGEST)
        # A client of redis-py makes a dict of it.
        fields = dict(found if isinstance(found, dict) else zip(found[::2], found[1::2], strict=True))
        version = fields.pop(b"version", b"0")
        orders = {order.version: order for order in self._decoded(fields.values())}
        return int(version) if version.isdigit() else 0, [orders[each] for each in sorted(orders)]

    async def since(self, version: int, /) -> Sequence[ControlOrder]:
        """Return those of the latest hundred orders that came after ``version``, oldest first.

        :raises RedisError: as `standing` does.
        """
        found = await self._connection.execute(
            "LRANGE", self._orders, -_KEPT, -1, key=self._orders, most=_LONGEST
        )
        return [order for order in self._decoded(found) if order.version > version]

    async def listen(self, heard: Callable[[], None], /) -> NoReturn:
        """Call ``heard`` after each order, and whenever it is connected again, until cancelled."""
        while True:
            with suppress(RedisError):  # whoever looks for orders from time to time will find out, and say so
                async with self._connection.subscribe(self._channel, heartbeat=_HEARTBEAT) as messages:
                    heard()
                    async for _ in messages:
                        heard()
            await asyncio.sleep(_BETWEEN_TRIES)

    async def missing_rights(self) -> Sequence[str]:
        """Return what the server's ACL does not let these orders do, on one line with the rule to set.

        :raises RedisError: when no server answered.
        """
        rights = MissingRights(self._connection, self._keyspace.namespace)
        standing, orders = self._standing.decode(), self._orders.decode()
        await rights.of([("EVALSHA", "0" * 40, 1, self._standing)], self._standing)
        await rights.of([("HGETALL", self._standing), ("LRANGE", self._orders, 0, 0)], self._standing)
        calls = [["HINCRBY", standing, "version", "x"], ["HSET", standing, "x", "x", "x"]]
        await rights.of_script(calls, self._standing)
        calls = [["LTRIM", orders, "x", "x"], ["PUBLISH", self._channel.decode() + "!", ""]]
        await rights.of_script(calls, self._orders)
        await rights.of_channel(self._channel)
        return rights.lines("the orders")

    def _decoded(self, entries: Any) -> Sequence[ControlOrder]:
        read = [self._order(entry) for entry in entries]
        if None in read:
            self._log.warning("%s holds what is no order, which is left out", self._channel.decode())
        return [order for order in read if order is not None]

    def _order(self, entry: bytes) -> ControlOrder | None:
        parts = _ORDER.fullmatch(entry)
        try:
            facts = json.loads(parts[2]) if parts else None
            if parts is None or not isinstance(facts, dict) or facts["verb"] not in _VERBS:
                return None
            key = None
            if facts["verb"] == "invalidate":
                key = self._keyspace.unpack(b64decode(facts["key"]))
            return ControlOrder(
                verb=facts["verb"],
                by=str(facts["by"]),
                reason=str(facts["reason"]),
                time=float(facts["time"]),
                details=MappingProxyType(dict(facts["details"])),
                key=key,
                version=int(parts[1]),
                id=str(facts["id"]),
            )
        except (ValueError, TypeError, KeyError):
            return None
