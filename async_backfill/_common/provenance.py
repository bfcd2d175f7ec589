"""Where a file that a cache wrote for the next process comes from, and whether it fits its reader."""

from __future__ import annotations

import math
from dataclasses import asdict
from socket import gethostname
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from async_backfill.records import Provenance

if TYPE_CHECKING:
    from collections.abc import Mapping

    from async_backfill.contracts import Clock

_UNITS: Final = ((172_800.0, 86_400.0, "d"), (7200.0, 3600.0, "h"), (120.0, 60.0, "min"), (0.0, 1.0, "s"))

_KINDS: Final[Mapping[str, Any]] = MappingProxyType(
    {"time": float | int, "host": str, "cache": str | None, "fingerprint": str | None}
)


def here(wall_clock: Clock, *, cache: str | None = None, fingerprint: str | None = None) -> Provenance:
    """Return the provenance of what is written here and now."""
    return Provenance(time=wall_clock(), host=gethostname(), cache=cache, fingerprint=fingerprint)


def age(written: Provenance, now: float) -> float:
    """Return how many seconds ago it was written; 0.0 where the clock there was ahead of the one here."""
    return max(0.0, now - written.time)


def misfit(written: Provenance | None, reader: Provenance) -> str | None:
    """Return in one line why what has provenance ``written`` is not for ``reader``; ``None`` when it is.

    The fingerprints must be equal; the names, where both have one. Another host is none of the reasons: a
    journal moves with its service.
    """
    if written is None:
        if reader.fingerprint is None:
            return None
        return f"it does not say where it comes from, and this cache has fingerprint {reader.fingerprint!r}"
    origin = origin_of(written, reader.time)
    if written.cache is not None and reader.cache is not None and written.cache != reader.cache:
        return f"it was {origin}, and this cache is {reader.cache!r}: give each a file of its own"
    if written.fingerprint != reader.fingerprint:
        theirs, own = _named(written.fingerprint), _named(reader.fingerprint)
        return f"it was {origin} with {theirs}, and this cache has {own}"
    return None


def origin_of(written: Provenance, now: float) -> str:
    """Return in words who saved it, where and when."""
    by = "" if written.cache is None else f" by the cache {written.cache!r}"
    return f"saved{by} on {written.host} {duration(age(written, now))} ago"


def duration(seconds: float) -> str:
    """Return ``seconds`` in the largest unit of which there are two or more."""
    _, unit, name = next(each for each in _UNITS if seconds >= each[0])
    return f"{seconds / unit:.0f} {name}"


def to_facts(provenance: Provenance | None) -> Any:
    """Return ``provenance`` in plain types, for JSON or MessagePack."""
    return None if provenance is None else asdict(provenance)


def from_facts(facts: object) -> Provenance | None:
    """Return what `to_facts` turned into ``facts``.

    :raises ValueError: when they are something else.
    """
    if facts is None:
        return None
    if not isinstance(facts, dict) or not facts.keys() <= _KINDS.keys():
        raise ValueError(f"no provenance: {facts!r:.100}")
    if not all(isinstance(facts.get(name), kind) for name, kind in _KINDS.items()):
        raise ValueError(f"no provenance: {facts!r:.100}")
    if not math.isfinite(facts["time"]):
        raise ValueError(f"a time must be finite, not {facts['time']}")
    return Provenance(**facts)


def _named(fingerprint: str | None) -> str:
    return "no fingerprint" if fingerprint is None else f"fingerprint {fingerprint!r}"
