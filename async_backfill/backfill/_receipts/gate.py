"""The gate for successors: load them only while enough of them are read before they are removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_AT_FIRST: Final = 0.3
_SMOOTHING: Final = 0.01
_LEAST: Final = 0.2
_PROBE_EVERY: Final = 128
_REPORT_EVERY: Final = 1000


class UsefulnessGate:
    """Opens while at least a fifth of the earlier successors were read; else once in 128 times, to probe.

    The share is an exponentially weighted moving average over about the last hundred keys. The
    constants come from ``benchmarks/recovery``: with them no trace reads more than 1.2 times the keys
    unless its hit rate rises.

    :param report: called with a number of successors, a thousand or more, and how many of them were read.
    """

    def __init__(self, report: Callable[[int, int], None]) -> None:
        self._report = report
        self._share = _AT_FIRST
        self._asked = 0
        self._resolved = 0
        self._read = 0

    @property
    def share(self) -> float:
        """The share of successors that were read before they were removed."""
        return self._share

    def lets_through(self) -> bool:
        """Return whether to load successors this time."""
        if self._share >= _LEAST:
            return True
        self._asked += 1
        return self._asked % _PROBE_EVERY == 0

    def resolved(self, *, read: bool) -> None:
        """Record that a successor was read, or was removed unread."""
        self._share += _SMOOTHING * (read - self._share)
        self._resolved += 1
        self._read += read

    def write(self) -> None:
        """Report the keys since the last report, if they are a thousand or more."""
        if self._resolved >= _REPORT_EVERY:
            resolved, read = self._resolved, self._read
            self._resolved = self._read = 0
            self._report(resolved, read)
