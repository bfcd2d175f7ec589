"""Find out what the user of a connection may not do, and say which rule of the server's ACL allows it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from async_backfill.redis.errors import RedisReplyError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backfill._envelopes.keyspace import Keyspace
    from async_backfill.redis._wire import Command, Reply
    from async_backfill.redis.connection import RedisConnection

_NO_RIGHT: Final = re.compile(r"NOPERM|ACL failure")
_COMMAND: Final = re.compile(r"run the '([\w|-]+)' command")
_CALL_EACH: Final = """
local refusals = {}
for at = 1, #ARGV do
    local answer = redis.pcall(unpack(cjson.decode(ARGV[at])))
    if type(answer) == 'table' and answer['err'] then
        refusals[#refusals + 1] = answer['err']
    end
end
return refusals
"""
"""A Lua script that makes calls, each a JSON list, and returns what was said to those that were refused."""


class MissingRights:
    """Makes calls that change nothing, and notes which of them the server's ACL does not allow.

    :param namespace: what the names of keys and channels begin with.
    """

    def __init__(self, connection: RedisConnection, namespace: str) -> None:
        self._connection = connection
        self._namespace = namespace
        self._rules: dict[str, None] = {}
        self._said: dict[str, None] = {}

    async def of(self, commands: Sequence[Command], key: bytes) -> None:
        """Try ``commands``, all with ``key``; that they fail for another reason is of no interest."""
        for answer in await self._connection.pipeline(commands, keys=[key] * len(commands)):
            self._note(answer)

    async def of_script(self, calls: Sequence[Sequence[object]], key: bytes) -> None:
        """Try the commands ``calls`` inside a script."""
        try:
            refusals: Reply = await self._connection.script(_CALL_EACH, [key], list(map(json.dumps, calls)))
        except RedisReplyError as error:
            self._note(error)
            return
        for refusal in refusals:
            self._note(RedisReplyError("ERR", str(refusal, "utf-8", "replace")))

    async def of_channel(self, channel: bytes) -> None:
        """Try to subscribe to ``channel``."""
        try:
            async with self._connection.subscribe(channel):
                pass
        except RedisReplyError as error:
            self._note(error)

    def lines(self, what: str) -> list[str]:
        """Return one line that says what ``what`` lacks and how to allow it; none if it lacks nothing."""
        if not self._rules:
            return []
        rule = f"ACL SETUSER {self._connection.user} {' '.join(self._rules)}"
        return [
            f"{what} may not do all that is needed in Redis: {'; '.join(self._said)}. To allow it: {rule}"
        ]

    def _note(self, answer: Reply) -> None:
        if not isinstance(answer, RedisReplyError) or not _NO_RIGHT.search(text := str(answer)):
            return
        command = _COMMAND.search(text)
        if command is not None:
            rules, said = [f"+{command[1]}"], f"no right to {command[1].upper()}"
        elif "channel" in text:
            rules, said = [f"&{self._namespace}!*"], f"no right to the channels {self._namespace}!*"
        else:
            start = self._namespace
            rules, said = (
                [f"~{start}:*", f"~{start}!*", f"~{{{start}!*"],
                f"no right to all keys {start}:* and {start}!*",
            )
        self._rules.update(dict.fromkeys(rules))
        self._said[said] = None


async def of_entries(connection: RedisConnection, keyspace: Keyspace[Any]) -> list[str]:
    """Return what a store of ``keyspace`` may not do."""
    rights = MissingRights(connection, keyspace.namespace)
    for name in keyspace.probes:
        # The right is looked at before the syntax: what is wrong in them writes nothing.
        commands: list[Command] = [("MGET", name), ("GETRANGE", name, 0, 0), ("SET", name, "", "XX", "NX")]
        if (await connection.facts()).msetex:
            commands.append(("MSETEX", 1, name, "", "XX", "NX"))
        commands += [("MSET", name, "", name), ("UNLINK", name), ("SCAN", 0, "COUNT", 1)]
        commands += [("EVALSHA", "0" * 40, 1, name), ("TIME",)]
        await rights.of(commands, name)
    stamp = keyspace.name("cleared")
    await rights.of([("SET", stamp, "", "XX", "NX"), ("GET", stamp)], stamp)
    return rights.lines("the store")
