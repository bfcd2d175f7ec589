"""Where a key is in a cluster: its hash slot, and which server has that.

The rules are those of the Redis cluster specification, "Key distribution model" and "Hash tags".
"""

from __future__ import annotations

from binascii import crc_hqx
from bisect import bisect_right
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backfill.redis._wire import Reply

SLOTS: Final = 16384


def hash_slot(key: bytes) -> int:
    """Return the slot of ``key``: of what stands in its first braces, if anything does."""
    opened = key.find(b"{")
    if opened >= 0:
        closed = key.find(b"}", opened + 1)
        if closed > opened + 1:
            key = key[opened + 1 : closed]
    return crc_hqx(key, 0) % SLOTS


def by_slot(keys: Sequence[bytes]) -> list[Sequence[int]]:
    """Return the places of ``keys``, those of one slot together."""
    places: dict[int, list[int]] = {}
    for place, key in enumerate(keys):
        places.setdefault(hash_slot(key), []).append(place)
    return list(places.values())


class SlotMap:
    """Which server has which slots, as it answered ``CLUSTER SLOTS``.

    :param home: the host that was asked; a server that does not know its own name leaves it empty.
    """

    def __init__(self, reply: Reply, home: str) -> None:
        ranges = sorted(
            (first, (host or b"").decode() or home, port) for first, _, (host, port, *_), *_ in reply
        )
        self._firsts = [first for first, _, _ in ranges]
        self._addresses = [(host, port) for _, host, port in ranges]

    @property
    def addresses(self) -> set[tuple[str, int]]:
        """The servers that take writes."""
        return set(self._addresses)

    def address(self, key: bytes) -> tuple[str, int] | None:
        """Return host and port of the server that has ``key``; ``None`` when the map is empty."""
        at = bisect_right(self._firsts, hash_slot(key)) - 1
        return self._addresses[at] if at >= 0 else None
