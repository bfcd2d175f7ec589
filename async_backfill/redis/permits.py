"""Backfill permits shared by many processes: one number in Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from async_backfill._common.validation import whole
from async_backfill.redis._keyspace import Keyspace

if TYPE_CHECKING:
    from async_backfill.redis.connection import RedisConnection

__all__ = ["RedisPermits"]

_SPEND: Final = """
local left = tonumber(redis.call('GET', KEYS[1]) or ARGV[1])
local spent = 0
if left > 0 then
    left, spent = left - 1, 1
end
redis.call('SET', KEYS[1], string.format('%.0f', left))
return {spent, left}
"""
"""A Lua script that spends a permit if there is one."""

_ADD: Final = """
local left = tonumber(redis.call('GET', KEYS[1]) or ARGV[1]) + ARGV[2]
redis.call('SET', KEYS[1], string.format('%.0f', left))
return left
"""
"""A Lua script that adds permits."""


class RedisPermits:
    """A budget of ``max_backfills`` permits for all processes together; implements `Permits`.

    The number in Redis never expires: it outlives every process, and starts again at ``max_backfills`` only
    when Redis has lost it, or somebody has removed it (``redis-cli DEL NAMESPACE!permits``).

    :param connection: a connection made by `async_backfill.redis.connect`; the caller closes it.
    :param namespace: the namespace that the processes share, as for `RedisStore`.
    :param max_backfills: the number of permits at the start, 0 or more.
    :raises ConfigurationError: when a setting is not allowed.
    """

    def __init__(self, connection: RedisConnection, *, namespace: str, max_backfills: int) -> None:
        self._connection = connection
        self._name = Keyspace[str](namespace, str).name("permits")
        self._initial = whole("max_backfills", max_backfills, least=0)

    async def acquire(self) -> tuple[bool, int]:
        """Spend one permit if there is one; return whether one was spent, and how many are left.

        :raises RedisError: when no server answered, or the value in Redis is not a number.
        """
        spent, left = await self._connection.script(_SPEND, [self._name], [self._initial])
        return spent == 1, left

    async def approve(self, permits: int, /) -> int:
        """Add ``permits``, 1 or more; return how many are left.

        :raises RedisError: as `acquire` does; the permits may have been added nevertheless.
        """
        added = whole("permits", permits, least=1)
        return cast("int", await self._connection.script(_ADD, [self._name], [self._initial, added]))

    async def left(self) -> int:
        """Return the number of permits left.

        :raises RedisError: as `acquire` does.
        """
        found = await self._connection.execute("GET", self._name, key=self._name)
        return self._initial if found is None else int(found)
