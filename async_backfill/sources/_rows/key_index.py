"""A compact index from keys to the positions of their rows: about 30 bytes a row, no keys, no values."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_FREE: Final = 0xFFFF_FFFF
_SMALLEST: Final = 64


class KeyIndex:
    """A hash table that finds the rows whose key has a given 64-bit hash.

    Two keys may have the same hash, so the reader of a row must compare its key: see decision 36 in
    notes.md. Open addressing with linear probing (Knuth, The Art of Computer Programming 3, section 6.4,
    algorithm L), a third to two thirds full. Rows are numbered from 0 in the order they were added.
    """

    def __init__(self) -> None:
        self._hashes = array("q")
        self._starts = array("Q")
        self._lengths = array("I")
        self._slots = _free_slots(_SMALLEST)

    def __len__(self) -> int:
        return len(self._hashes)

    def rows(self, digest: int) -> Iterator[int]:
        """Yield the rows whose key has the hash ``digest``."""
        slots, hashes = self._slots, self._hashes
        mask = len(slots) - 1
        place = digest & mask
        while (row := slots[place]) != _FREE:
            if hashes[row] == digest:
                yield row
            place = (place + 1) & mask

    def span(self, row: int) -> tuple[int, int]:
        """Return the start and the length of ``row``."""
        return self._starts[row], self._lengths[row]

    def add(self, digest: int, start: int, length: int) -> None:
        """Add a row."""
        if 3 * len(self._hashes) >= 2 * len(self._slots):
            self._grow()
        row = len(self._hashes)
        self._hashes.append(digest)
        self._starts.append(start)
        self._lengths.append(length)
        self._put(digest, row)

    def move(self, row: int, start: int, length: int) -> None:
        """Give ``row`` a new start and length."""
        self._starts[row] = start
        self._lengths[row] = length

    def _put(self, digest: int, row: int) -> None:
        slots = self._slots
        mask = len(slots) - 1
        place = digest & mask
        while slots[place] != _FREE:
            place = (place + 1) & mask
        slots[place] = row

    def _grow(self) -> None:
        self._slots = _free_slots(2 * len(self._slots))
        for row, digest in enumerate(self._hashes):
            self._put(digest, row)


def _free_slots(count: int) -> array[int]:
    return array("I", [_FREE]) * count
