"""The size of a key, so that what a cache remembers of keys that it does not hold is bounded in bytes."""

from __future__ import annotations

from typing import Final

LONGEST: Final = 4096
"""The largest size in characters or bytes of a key that is remembered without its value."""

_MOST_PARTS: Final = 512
_A_PART: Final = 8


def size_of(key: object) -> int:
    """Return about how many bytes ``key`` takes, as far as text, bytes, integers and tuples of them tell.

    Clients make keys of these; an object of another class counts as a few bytes. Counting ends where a key is
    long anyway.
    """
    if isinstance(key, (str, bytes)):
        return len(key)
    if isinstance(key, int):
        return key.bit_length() >> 3
    size, parts = 0, [key]
    while parts and size <= LONGEST:
        part = parts.pop()
        if isinstance(part, (tuple, frozenset)):
            size += _A_PART * len(part)
            parts.extend(part if len(part) <= _MOST_PARTS else ())
        elif isinstance(part, (str, bytes)):
            size += len(part)
        elif isinstance(part, int):
            size += part.bit_length() >> 3
    return size


def is_long(key: object) -> bool:
    """Return whether ``key`` is too long to be remembered without its value: over 4 KiB."""
    return size_of(key) > LONGEST
