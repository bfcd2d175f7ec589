"""Sentinels: they say which server is the primary now.

The protocol is in "Guidelines for Redis clients with support for Redis Sentinel": ask one after the other
within a short time, begin with who answered last, and see whether the server that is named is a primary. One
that named a server of no use is asked last from then on: it may be cut off from the others, and never learn.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from async_backfill.redis._client import ClientLink, pack
from async_backfill.redis.errors import RedisError, RedisReplyError, RedisUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

_ROLE: Final = pack(("ROLE",))


class Sentinels:
    """The sentinels of the servers that they call ``primary``.

    :param places: hosts and ports of the sentinels.
    :param link: returns a connection to one of them that is not open yet.
    :param timeout: the seconds within which all of them together must answer.
    """

    def __init__(
        self,
        primary: str,
        places: Sequence[tuple[str, int]],
        link: Callable[[tuple[str, int]], ClientLink],
        timeout: float,
    ) -> None:
        self._primary = primary
        self._places = list(places)
        self._link = link
        self._share = timeout / (len(places) + 1)
        self.name = f"{primary} of the sentinels {', '.join(f'{host}:{port}' for host, port in places)}"

    def pass_over(self, place: tuple[str, int]) -> None:
        """Ask the sentinel at ``place`` last."""
        self._places.remove(place)
        self._places.append(place)

    async def primary(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """Return host and port of the primary and of the first sentinel that knows it.

        :raises RedisUnavailableError: when none does; its text has what each of them said.
        """
        said = []
        for place in tuple(self._places):
            try:
                found = await self._ask(place)
            except TimeoutError:
                said.append(f"{place[0]}:{place[1]}: no answer within {self._share:.3g} s")
            except RedisError as error:
                said.append(str(error).removeprefix("redis at "))
            else:
                if found is not None:
                    self._places.remove(place)
                    self._places.insert(0, place)
                    return found, place
                said.append(f"{place[0]}:{place[1]}: knows no {self._primary!r}")
        raise RedisUnavailableError(f"no sentinel names the primary {self._primary!r}: {'; '.join(said)}")

    async def check(self, link: ClientLink) -> None:
        """Raise `RedisUnavailableError` when ``link`` is to a replica: a sentinel may be late to know."""
        (answer,) = await link.exchange(_ROLE, 1)
        if isinstance(answer, list) and answer[:1] != [b"master"]:  # else its user may not ask
            raise RedisUnavailableError(
                f"redis at {link.name}: the sentinels name it as the primary of {self._primary!r}, "
                f"but it is a {answer[0].decode('utf-8', 'replace')}"
            )

    async def _ask(self, place: tuple[str, int]) -> tuple[str, int] | None:
        async with asyncio.timeout(self._share), _opened(self._link(place)) as link:
            (answer,) = await link.exchange(pack(("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._primary)), 1)
        if isinstance(answer, RedisReplyError):
            raise RedisUnavailableError(f"redis at {link.name}: {answer}")
        return None if answer is None else (answer[0].decode(), int(answer[1]))


@asynccontextmanager
async def _opened(link: ClientLink) -> AsyncIterator[ClientLink]:
    try:
        await link.open()
        yield link
    finally:
        await link.close()
