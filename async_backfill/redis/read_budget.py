"""One budget of reads for many processes, in Redis: rows a second and pages at once, by the server's clock.

The rate is kept by the generic cell rate algorithm (GCRA) in its form of virtual scheduling, ITU-T
Recommendation I.371 (2004), annex A: one number, the theoretical arrival time of the next row. Here a page
is booked for that time and not refused, so that who asks ahead need not ask again.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final

from async_backfill._common.validation import positive_seconds, real, text, whole
from async_backfill._envelopes.keyspace import Keyspace
from async_backfill.contracts import AccessCheck, NeedsAsyncio, ReadBudget
from async_backfill.errors import ConfigurationError
from async_backfill.redis._rights import MissingRights
from async_backfill.redis._wire import LONGEST_LEASE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backfill.redis.connection import RedisConnection

__all__ = ["RedisReadBudget"]

_NOW: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
"""

_BOOKED: Final = (
    _NOW
    + """
local found = redis.call('GET', KEYS[1])
if found and (#found > 16 or not string.match(found, '^%d+$')) then
    return redis.error_reply('NOTATIME ' .. KEYS[1] .. ' holds no time of a budget: DEL it')
end
local booked = tonumber(found or 0)
local cost = ARGV[1] / ARGV[2] * 1000000
"""
)
"""The start of two scripts: until when rows are booked, in microseconds, and for how long these ones are."""

_KEEP: Final = """
redis.call('SET', KEYS[1], string.format('%.0f', booked), 'PX', math.ceil((booked - now) / 1000) + 60000)
"""

_BOOK: Final = (
    _BOOKED
    + """
local begin = math.max(booked, now)
booked = begin + cost
if booked > 9000000000000000 then
    return redis.error_reply('TOOLATE these rows would begin in more than 200 years')
end
"""
    + _KEEP
    + "return string.format('%.0f', begin - now)"
)

_GIVE_BACK: Final = (
    _BOOKED
    + """
if booked <= now then
    return 0
end
booked = math.max(now, booked - cost)
"""
    + _KEEP
    + "return 1"
)

_BEGIN: Final = (
    _NOW
    + """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
local taken = redis.call('ZCARD', KEYS[1])
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then
    if taken >= tonumber(ARGV[2]) then
        return {0, taken}
    end
    taken = taken + 1
end
redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[3] * 1000), ARGV[1])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return {1, taken}
"""
)


class RedisReadBudget(ReadBudget, NeedsAsyncio, AccessCheck):
    """A budget for all who read one source; implements `ReadBudget`.

    Two keys have it, of one hash slot: ``{NAMESPACE!reads:NAME}rows`` and ``{NAMESPACE!reads:NAME}pages``.
    Both expire. A server that has lost them knows of no one who is reading: each of these may be beside one
    more until it has ended.

    :param connection: a connection made by `async_backfill.redis.connect`; the caller closes it.
    :param namespace: as for `RedisStore`.
    :param name: which budget of that namespace; those who read one source give the same.
    :raises ConfigurationError: when a name is not allowed.
    """

    def __init__(self, connection: RedisConnection, *, namespace: str, name: str = "source") -> None:
        self._connection = connection
        self._namespace = namespace
        try:
            Keyspace[str](text("name", name), str)  # the same letters
        except ConfigurationError as error:
            raise ConfigurationError("name", error.problem) from error
        tag = b"{" + Keyspace[str](namespace, str).name(f"reads:{name}") + b"}"
        self._rows, self._pages = tag + b"rows", tag + b"pages"

    async def book(self, rows: int, rate: float, /) -> float:
        """Book the next ``rows``; see `ReadBudget`.

        :raises RedisError: when no server answered; the rows may have been booked nevertheless.
        """
        return int(await self._connection.script(_BOOK, [self._rows], _amount(rows, rate))) / 1e6

    async def give_back(self, rows: int, rate: float, /) -> None:
        """Give back ``rows``; see `ReadBudget`.

        :raises RedisError: as `book` does.
        """
        await self._connection.script(_GIVE_BACK, [self._rows], _amount(rows, rate))

    async def begin(self, page: bytes, pages: int, /, *, lease: float) -> tuple[bool, int]:
        """Take a place for ``page``; see `ReadBudget`.

        :raises RedisError: when no server answered; the place may have been taken nevertheless.
        """
        most = whole("pages", pages, least=1)
        milliseconds = ceil(min(positive_seconds("lease", lease), LONGEST_LEASE) * 1000)
        is_taken, taken = await self._connection.script(_BEGIN, [self._pages], [page, most, milliseconds])
        return is_taken == 1, taken

    async def end(self, page: bytes, /) -> None:
        """Give back the place of ``page``; see `ReadBudget`.

        :raises RedisError: when no server answered.
        """
        await self._connection.execute("ZREM", self._pages, page, key=self._pages)

    async def missing_rights(self) -> Sequence[str]:
        """Return what the server's ACL does not let this budget do, on one line with the rule to set.

        :raises RedisError: when no server answered.
        """
        rights = MissingRights(self._connection, self._namespace)
        rows, pages = self._rows.decode(), self._pages.decode()
        of_rows: list[list[object]] = [["TIME"], ["GET", rows], ["SET", rows, "", "XX", "NX"]]
        of_pages: list[list[object]] = [["ZREMRANGEBYSCORE", pages, 1, 0], ["ZADD", pages, "XX", 0, ""]]
        of_pages += [[name, pages] for name in ("ZCARD", "PTTL")]
        of_pages += [["ZSCORE", pages, ""], ["PEXPIRE", pages, "x"]]
        for name, calls in ((self._rows, of_rows), (self._pages, of_pages)):
            await rights.of([("EVALSHA", "0" * 40, 1, name)], name)
            await rights.of_script(calls, name)
        await rights.of([("ZREM", self._pages, "")], self._pages)
        return rights.lines("the budget of reads")


def _amount(rows: int, rate: float) -> list[str | int]:
    if real("rate", rate, least=0.0, most=1e15) == 0.0:
        raise ConfigurationError("rate", "must be above 0.0")
    return [whole("rows", rows, least=1), repr(float(rate))]
