"""What stands in place of an envelope where something was removed."""

from __future__ import annotations

from typing import Final

LETTER: Final = b"T"
"""Its first byte, which no envelope has."""
LENGTH: Final = 13
"""Its length in bytes."""


def is_tombstone(data: bytes) -> bool:
    """Return whether ``data`` is what a removal leaves."""
    return len(data) == LENGTH and data.startswith(LETTER)
