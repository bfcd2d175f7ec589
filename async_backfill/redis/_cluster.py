"""Hash slots of a Redis cluster: the slot of a key, and the server of a slot.

The rules are in the Redis cluster specification, "Key distribution model" and "Hash tags".
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
    """Return the hash slot of ``key``, or of its hash tag: the content of its first braces, if not empty."""
    opened = key.find(b"{")
    if opened >= 0:
        closed = key.find(b"}", opened + 1)
        if closed > opened + 1:
            key = key[opened + 1 : closed]
    return crc_hqx(key, 0) % SLOTS


def by_slot(keys: Sequence[bytes]) -> list[Sequence[int]]:
    """Return the positions of ``keys``, grouped by slot."""
    places: dict[int, list[int]] = {}
    for place, key in enumerate(keys):
        places.setdefault(hash_slot(key), []).append(place)
    return list(places.values())


class SlotMap:
    """The servers of all slots, from the reply to ``CLUSTER SLOTS``.

    :param home: the host of the server that replied; it stands for an empty host in the reply.
    """

    def __init__(self, reply: Reply, home: str) -> None:
        ranges = sorted(
            (first, (host or b"").decode() or home, port) for first, _, (host, port, *_), *_ in reply
        )
        self._firsts = [first for first, _, _ in ranges]
        self._addresses = [(host, port) for _, host, port in ranges]

    @property
    def addresses(self) -> set[tuple[str, int]]:
        """Host and port of each server that takes writes."""
        return set(self._addresses)

    def address(self, key: bytes) -> tuple[str, int] | None:
        """Return host and port of the server for ``key``; ``None`` when the map is empty."""
        at = bisect_right(self._firsts, hash_slot(key)) - 1
        return self._addresses[at] if at >= 0 else None
