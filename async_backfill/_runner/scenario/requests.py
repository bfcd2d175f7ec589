"""The lookups of a replay, with what a trace says of each: when it came, and how large its object is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(slots=True, kw_only=True)
class Requests:
    """The ``keys`` to look up, in order; each of the others has one item a key, or is ``None``.

    Each lookup calls `begins`, which keeps the sizes and lifetimes at those of the latest one of each key,
    because an object changes; before its first lookup those of the first one hold.

    ``times``
        seconds since the first lookup, in ascending order.
    ``sizes``
        the size of the object, in bytes.
    ``ttls``
        for how many seconds the object is good; 0.0 where nothing is said.
    """

    keys: Sequence[Any]
    times: Sequence[float] | None = None
    sizes: Sequence[int] | None = None
    ttls: Sequence[float] | None = None
    _sizes: dict[Any, int] = field(init=False, default_factory=dict)
    _ttls: dict[Any, float] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for key, size in zip(self.keys, self.sizes or (), strict=False):
            self._sizes.setdefault(key, size)
        for key, ttl in zip(self.keys, self.ttls or (), strict=False):
            if ttl:
                self._ttls.setdefault(key, ttl)

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.keys)

    def begins(self, number: int) -> None:
        """Hear that the lookup with ``number``, from 0, begins now."""
        if self.sizes is not None:
            self._sizes[self.keys[number]] = self.sizes[number]
        if self.ttls is not None and self.ttls[number]:
            self._ttls[self.keys[number]] = self.ttls[number]

    @property
    def have_objects(self) -> bool:
        """Whether they say anything of their objects, so that `begins` must be called."""
        return self.sizes is not None or self.ttls is not None

    def size_of(self, key: Any, _: object) -> int:
        """Return the size of the object of ``key`` now; 0 when no lookup has it."""
        return self._sizes.get(key, 0)

    def ttl_of(self, key: Any, _: object) -> float | None:
        """Return for how many seconds the object of ``key`` is good now, if that is said."""
        return self._ttls.get(key)
