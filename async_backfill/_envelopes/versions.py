"""The version of a value in its envelope: of two copies of a key the higher one is later, by no clock."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

VERSIONED: Final = 4
"""The flag of an envelope that has a version, behind its time."""
SIZE: Final = 8
"""The length of a version in bytes, big endian: as bytes and as numbers versions have one order."""


class VersionPlace(NamedTuple):
    """Where the envelopes of a store have a version: how these begin, and the place of its first byte."""

    starts: tuple[bytes, ...]
    at: int


_PACK: Final = struct.Struct(">Q").pack


def packed_version(version_of: Callable[[Any], int], value: object) -> bytes:
    """Return the version of ``value`` as bytes.

    :raises ValueError: when it is none.
    """
    version = version_of(value)
    try:
        return _PACK(version)
    except struct.error:
        problem = f"version_of returned {version!r}, not a whole number from 0 to 2**64 - 1"
        raise ValueError(problem) from None
