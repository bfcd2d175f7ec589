"""Backfill permits shared by many processes: one number in Redis."""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING, Final, cast

from async_backfill._common.validation import whole
from async_backfill._envelopes.keyspace import Keyspace
from async_backfill.contracts import AccessCheck, Approval, NeedsAsyncio
from async_backfill.errors import ConfigurationError
from async_backfill.redis._rights import MissingRights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backfill.redis.connection import RedisConnection

__all__ = ["RedisPermits"]

_READ: Final = """
local found = redis.call('GET', KEYS[1])
if found and (#found > 15 or not string.match(found, '^%d+$')) then
    local problem = ' holds no whole number of permits: SET it to one, or DEL it'
    return redis.error_reply('NOTANUMBER ' .. KEYS[1] .. problem)
end
local left = tonumber(found or ARGV[1])
"""
"""The start of each script: reads what is left, and refuses what ``tonumber`` would make a number of."""

_SPEND: Final = (
    _READ
    + """
local spent = 0
if left > 0 then
    left, spent = left - 1, 1
end
redis.call('SET', KEYS[1], string.format('%.0f', left))
return {spent, left}
"""
)
"""A Lua script that spends a permit if there is one."""

_NOTE: Final = """
local newest = redis.call('LINDEX', KEYS[2], -1)
local number = (tonumber(newest and string.match(newest, '^(%d+) ')) or 0) + 1
redis.call('SET', KEYS[1], string.format('%.0f', left))
redis.call('RPUSH', KEYS[2], string.format('%.0f', number) .. ' ' .. redis.call('TIME')[1] .. ' ' .. note)
redis.call('LTRIM', KEYS[2], -100, -1)
"""
"""The end of those that a person asks for: sets what is left, and keeps the ``note`` of it."""

_ADD: Final = (
    _READ
    + """
left = left + tonumber(ARGV[2])
if left > 999999999999999 then
    return redis.error_reply('TOOMANY no more than 999999999999999 permits can be left')
end
local note = ARGV[3]
"""
    + _NOTE
    + "return left"
)
"""A Lua script that adds permits, and notes the approval."""

_TAKE: Final = (
    _READ
    + """
local taken = math.min(left, tonumber(ARGV[2]) or left)
if taken > 0 then
    left = left - taken
    local note = '{"permits":-' .. string.format('%.0f', taken) .. ',' .. ARGV[3]
"""
    + _NOTE
    + """
end
return {taken, left}
"""
)
"""A Lua script that takes permits back, and notes that; its last argument is the rest of a JSON object."""

_MOST: Final = 999_999_999_999_999  # permits, as in the scripts: those count in doubles
_KEPT: Final = 100  # approvals, as in the script
_LONGEST: Final = 1_000_000  # bytes of an approval
_LEFT: Final = _READ + "return left"
_APPROVAL: Final = re.compile(rb"(\d{1,15}) (\d{1,15}) (.*)", re.DOTALL)
_LOGGER: Final = logging.getLogger("async_backfill.far")


class RedisPermits(NeedsAsyncio, AccessCheck):
    """A budget of ``max_backfills`` permits for all processes together; implements `Permits`.

    The number in Redis never expires: it outlives every process, and starts again at ``max_backfills`` only
    when Redis has lost it, or somebody has removed it (``redis-cli DEL NAMESPACE!permits``). Beside it is a
    list of the latest hundred approvals. What is no whole number is an error, and nobody gets a permit.

    :param connection: a connection made by `async_backfill.redis.connect`; the caller closes it.
    :param namespace: the namespace that the processes share, as for `RedisStore`.
    :param max_backfills: the number of permits at the start, from 0 to 999999999999999 (15 digits).
    :raises ConfigurationError: when a setting is not allowed.
    """

    def __init__(self, connection: RedisConnection, *, namespace: str, max_backfills: int) -> None:
        self._connection = connection
        self._namespace = namespace
        self._name = Keyspace[str](namespace, str).name("permits")
        # The braces keep both in one hash slot of a cluster.
        self._approvals = b"{" + self._name + b"}approvals"
        self._initial = whole("max_backfills", max_backfills, least=0)
        if self._initial > _MOST:
            raise ConfigurationError("max_backfills", f"{self._initial} is more than {_MOST}")

    async def acquire(self) -> tuple[bool, int]:
        """Spend one permit if there is one; return whether one was spent, and how many are left.

        :raises RedisError: when no server answered, or the value in Redis is not a number.
        """
        spent, left = await self._connection.script(_SPEND, [self._name], [self._initial])
        return spent == 1, left

    async def approve(self, permits: int, /, *, by: str, reason: str) -> int:
        """Add ``permits``, 1 or more, and note ``by`` whom and the ``reason``; return how many are left.

        :raises RedisError: as `acquire` does; the permits may have been added nevertheless.
        """
        added = whole("permits", permits, least=1)
        note = _note({"permits": added, "by": by, "reason": reason})
        names = [self._name, self._approvals]
        return cast("int", await self._connection.script(_ADD, names, [self._initial, added, note]))

    async def revoke(self, permits: int | None, /, *, by: str, reason: str) -> tuple[int, int]:
        """Take up to ``permits`` back that are left, ``None`` for all; return how many, and what is left.

        :raises RedisError: as `acquire` does; they may have been taken back nevertheless.
        """
        most = "" if permits is None else whole("permits", permits, least=1)
        note = _note({"by": by, "reason": reason}).removeprefix("{")
        names = [self._name, self._approvals]
        taken, left = await self._connection.script(_TAKE, names, [self._initial, most, note])
        return taken, left

    async def approvals(self) -> Sequence[Approval]:
        """Return the latest hundred approvals, oldest first; what cannot be read is logged and left out.

        :raises RedisError: when no server answered, or an entry is far too long to be an approval.
        """
        found = await self._connection.execute(
            "LRANGE", self._approvals, -_KEPT, -1, key=self._approvals, most=_LONGEST
        )
        read = [_read(entry) for entry in found]
        if None in read:
            _LOGGER.warning("%s holds what is no approval", self._approvals.decode())
        return [approval for approval in read if approval is not None]

    async def missing_rights(self) -> Sequence[str]:
        """Return what the server's ACL does not let these permits do, on one line with the rule to set.

        :raises RedisError: when no server answered.
        """
        rights = MissingRights(self._connection, self._namespace)
        await rights.of([("EVALSHA", "0" * 40, 1, self._name)], self._name)
        name = self._name.decode()
        calls: list[list[object]] = [["GET", name], ["SET", name, "", "XX", "NX"], ["TIME"]]
        await rights.of_script(calls, self._name)
        approvals = self._approvals.decode()
        calls = [["LINDEX", approvals, -1], ["LTRIM", approvals, "x", "x"]]  # which is no place in it
        await rights.of_script(calls, self._approvals)
        await rights.of([("LRANGE", self._approvals, 0, 0)], self._approvals)
        return rights.lines("the permits")

    async def left(self) -> int:
        """Return the number of permits left.

        :raises RedisError: as `acquire` does.
        """
        return cast("int", await self._connection.script(_LEFT, [self._name], [self._initial]))


def _note(facts: dict[str, object]) -> str:
    note = json.dumps(facts)
    if len(note) > _LONGEST // 2:
        raise ConfigurationError("reason", f"must have less than {_LONGEST // 2} bytes, with by")
    return note


def _read(entry: bytes) -> Approval | None:
    parts = _APPROVAL.fullmatch(entry)
    try:
        note = json.loads(parts[3]) if parts else None
    except ValueError:
        return None
    if parts is None or not isinstance(note, dict):
        return None
    permits, by, reason = (note.get(name) for name in ("permits", "by", "reason"))
    if not (isinstance(permits, int) and isinstance(by, str) and isinstance(reason, str)):
        return None
    return Approval(number=int(parts[1]), permits=permits, by=by, reason=reason, time=float(parts[2]))
