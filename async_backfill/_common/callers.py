"""The callers of what several may wait for: those whose spans a span belongs below, or is linked to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Hashable

_MOST: Final = 128  # links of one span, as OpenTelemetry has it by default


class Callers:
    """The first 128 callers, each once; the others are only counted."""

    __slots__ = ("_waits", "left_out")

    def __init__(self) -> None:
        self._waits: dict[Hashable, bool] = {}
        self.left_out = 0

    def add(self, caller: Hashable, *, waits: bool) -> bool:
        """Add ``caller``; return whether it is a new one that is kept."""
        before = self._waits.get(caller)
        if before is None and len(self._waits) >= _MOST:
            self.left_out += 1
            return False
        self._waits[caller] = waits or bool(before)
        return before is None

    def waiting(self) -> list[Hashable]:
        """Return those who wait, in the order in which they came."""
        return [caller for caller, waits in self._waits.items() if waits]

    def watching(self) -> list[Hashable]:
        """Return those who do not wait."""
        return [caller for caller, waits in self._waits.items() if not waits]
