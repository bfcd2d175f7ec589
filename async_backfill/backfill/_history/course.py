"""The course of one warming of a cache, and the readiness that follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from async_backfill.backfill.readiness import Readiness, ReadinessState
from async_backfill.contracts import K

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio import CancelScope

    from async_backfill.backfill._history.coverage import Coverage


class Course(Generic[K]):
    """The warming of a cache since it was last empty: an older one that still ends touches nothing of it."""

    __slots__ = ("_told", "coverage", "given_up", "goal", "has_begun", "scope")

    def __init__(self) -> None:
        self.coverage: Coverage[K] | None = None
        self.goal = 0.0
        self.given_up: str | None = None
        self.scope: CancelScope | None = None
        self.has_begun = False
        self._told: tuple[ReadinessState, str | None] | None = None

    def reaches(self, goal: float) -> bool:
        """Return whether the share ``goal`` of the hot keys has been cached."""
        return self.coverage is not None and self.coverage.share >= goal

    def readiness(self, goal: float, why_nothing_is_hot: Callable[[], str]) -> Readiness:
        """Return the state, by the coverage ``goal``."""
        state, reason = ReadinessState.WARMING, str(self)
        if self.reaches(goal):
            state = ReadinessState.READY
            reason = reason if self.coverage else why_nothing_is_hot()
        elif self.given_up is not None:
            state, reason = ReadinessState.GAVE_UP, self.given_up
        share = 0.0 if self.coverage is None else self.coverage.share
        return Readiness(state=state, reason=reason, coverage=share)

    def news(self, now: Readiness) -> Readiness | None:
        """Return ``now`` if it is another state than the last one, or it was given up for another reason."""
        state = now.state, self.given_up
        if state == self._told:
            return None
        self._told = state
        return now

    def __str__(self) -> str:
        return "the hot keys are being ranked" if self.coverage is None else str(self.coverage)
