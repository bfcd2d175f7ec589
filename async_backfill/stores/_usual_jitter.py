"""The jitter of values that come together, where a policy says none."""

from __future__ import annotations

from typing import Final

_SHARE: Final = 0.05
_PARTS: Final = 64
"""The different parts: those with the same one share the number for their time, which would take 24 bytes."""
_STRIDE: Final = 29  # so that also the parts of two values, one after the other, are far apart


class UsualJitter:
    """Cuts up to 5 % off a ttl, another part each time: see decision 81 in notes.md.

    :param start: where it begins, from 0.0 to 1.0.
    """

    __slots__ = ("_part",)

    def __init__(self, start: float) -> None:
        self._part = int(start * _PARTS)

    def cut(self, ttl: float) -> float:
        """Return ``ttl`` without the next part."""
        self._part = part = (self._part + _STRIDE) % _PARTS
        return ttl - ttl * (_SHARE / _PARTS) * part
