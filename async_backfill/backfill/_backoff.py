"""A pause after each failure that grows while the failures go on."""

from __future__ import annotations

import math

from anyio import current_time


class Backoff:
    """Says when to try again: ``first`` seconds after a failure, then twice as long, up to ``longest``."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._pause = first
        self._until = -math.inf

    @property
    def is_over(self) -> bool:
        """Whether it may be tried again."""
        return current_time() >= self._until

    def failed(self) -> None:
        """Take note of a failure: the pause begins."""
        self._until = current_time() + self._pause
        self._pause = min(2 * self._pause, self._longest)

    def succeeded(self) -> None:
        """Take note of a success: the next pause is the first one again."""
        self._pause = self._first
        self._until = -math.inf
