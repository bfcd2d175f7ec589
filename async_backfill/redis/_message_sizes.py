"""How many keys one message of invalidations has, and how many are forgotten at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_MOST_BYTES: Final = 500_000
_OVERHEAD: Final = 5  # bytes of a key's length
_AT_ONCE: Final = 500  # keys that are forgotten before others may run
_BYTES_AT_ONCE: Final = 20_000


def in_messages(packed: Sequence[bytes]) -> Iterator[list[bytes] | None]:
    """Yield the messages for ``packed`` keys: as few as possible, each of at most about 500 kB.

    When a key alone is longer, there is one for every key.
    """
    if any(len(key) > _MOST_BYTES for key in packed):
        yield None
    else:
        yield from in_portions(packed, bytes_at_once=_MOST_BYTES, at_once=_MOST_BYTES)


def in_portions(
    packed: Iterable[bytes], *, bytes_at_once: int = _BYTES_AT_ONCE, at_once: int = _AT_ONCE
) -> Iterator[list[bytes]]:
    """Yield ``packed`` in portions of so many keys and bytes at the most, and of one key at the least."""
    portion: list[bytes] = []
    size = 0
    for key in packed:
        if portion and (size + len(key) > bytes_at_once or len(portion) >= at_once):
            yield portion
            portion, size = [], 0
        portion.append(key)
        size += len(key) + _OVERHEAD
    if portion:
        yield portion
