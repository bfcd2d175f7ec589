"""Warming: load what was hot until a cache is warm enough to take traffic, or give up and say why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic

from anyio import CancelScope, Event, move_on_after, sleep

from async_backfill._common.validation import real
from async_backfill.backfill._history.course import Course
from async_backfill.backfill._history.coverage import Coverage
from async_backfill.backfill._history.recovery import WAITING
from async_backfill.contracts import K
from async_backfill.errors import CacheClosedError, ConfigurationError
from async_backfill.records import BackfillCause, Status

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from async_backfill.backfill._backfiller import Backfiller
    from async_backfill.backfill._fleet_budget import FleetBudget
    from async_backfill.backfill._history.hot_keys import HotKeys
    from async_backfill.backfill.budget import BackfillBudget
    from async_backfill.backfill.readiness import Readiness, ReadinessPolicy
    from async_backfill.contracts import Spawn

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
_FIRST_PAUSE_AFTER_FAILURE: Final = 1.0
_LONGEST_PAUSE_AFTER_FAILURE: Final = 30.0
NOBODY_READS: Final = "the history is old or of unknown origin, so nothing more is loaded before it is read"
_MORE: Final = 64
"""Keys looked at after a backfill beyond those that it asked for, because of others that were cached."""


class Warming(Generic[K]):
    """Loads the hot keys in the background, from the first question on, and answers each in constant time.

    Which keys are hot is taken when it begins. A key that has been cached once counts from then on, so the
    answer never goes back: not when traffic moves, nor when values expire.

    :param hot: the hot keys; ``None`` when the selection is not ``"history"``.
    :param backfiller: loads the hot keys; ``None`` when the cache cannot backfill.
    :param budget: the permits for backfills.
    :param capacity: the largest number of hot keys that can be cached; ``None`` for all.
    :param has_history: returns whether hot keys were known when the cache was last empty.
    :param has_value: returns whether a key is cached.
    :param is_absent: returns whether a key is known not to exist.
    :param is_full: returns whether no backfilled key would find room.
    :param ranking: returns the hot keys in the order in which backfills load them.
    :param why_nothing_is_hot: returns why no key was known to be hot.
    :param is_read: returns whether anybody has looked anything up since the latest keys came.
    :param spawn: starts a task that the cache owns.
    :param changed: called when warming has begun, and with each new state.
    """

    def __init__(  # noqa: PLR0913 - each is a fact of its own; the cache puts them together once
        self,
        policy: ReadinessPolicy,
        hot: HotKeys[K] | None,
        backfiller: Backfiller[K] | None,
        budget: BackfillBudget | FleetBudget,
        *,
        capacity: int | None,
        has_history: Callable[[], bool],
        has_value: Callable[[K], bool],
        is_absent: Callable[[K], bool],
        is_full: Callable[[], bool],
        ranking: Callable[[], Awaitable[Sequence[K]]],
        why_nothing_is_hot: Callable[[], str],
        is_read: Callable[[], bool],
        spawn: Spawn,
        changed: Callable[[Readiness], object],
    ) -> None:
        self._policy = policy
        self._hot = hot
        self._backfiller = backfiller
        self._budget = budget
        self._capacity = capacity
        self._has_history = has_history
        self._has_value = has_value
        self._is_absent = is_absent
        self._is_full = is_full
        self._ranking = ranking
        self._why_nothing_is_hot = why_nothing_is_hot
        self._is_read = is_read
        self._spawn = spawn
        self._changed = changed
        self._is_open = True
        self._news = Event()
        self._course: Course[K] = Course()

    def is_ready(self, coverage: float | None = None) -> bool:
        """Return whether ``coverage`` of the hot keys have been cached, or it gave up; begin, if need be."""
        goal = self._policy.coverage
        if coverage is not None:
            goal = real("coverage", coverage, least=0.0, most=1.0)
        self.begin(goal)
        return self._course.given_up is not None or self._course.reaches(goal)

    def readiness(self) -> Readiness:
        """Return the state, by the coverage of the policy; begin to warm the cache, if need be."""
        self.begin()
        return self._now()

    def peek(self) -> Readiness | None:
        """Return the state, and begin nothing; ``None`` before warming has begun."""
        return self._now() if self._course.has_begun else None

    def _now(self) -> Readiness:
        return self._course.readiness(self._policy.coverage, self._why_nothing_is_hot)

    async def wait(self, coverage: float | None = None) -> None:
        """Wait until `is_ready`.

        :raises CacheClosedError: when the cache closes first.
        """
        while not self.is_ready(coverage):
            if not self._is_open:
                raise CacheClosedError("the cache closed before it was ready")
            await self._news.wait()

    def begin(self, goal: float | None = None) -> None:
        """Begin to warm the cache, unless that has begun or is over; ``None`` for the goal of the policy."""
        if self._hot is None or self._backfiller is None:
            raise ConfigurationError("selection", "must be 'history', or the hot keys are not known")
        course = self._course
        course.goal = max(course.goal, self._policy.coverage if goal is None else goal)
        if course.coverage is None and not self._has_history():
            course.coverage = self._coverage_of(())
        if course.given_up is None and not course.reaches(course.goal):
            self._go_on()
        if not course.has_begun:
            course.has_begun = True
            self._note()

    def approved(self) -> None:
        """Go on where it gave up, because a person allowed more backfills."""
        if self._course.given_up is not None and not self._course.reaches(self._course.goal):
            self._go_on()

    def flushed(self) -> None:
        """Forget what was reached, because the cache was emptied."""
        before, self._course = self._course, Course()
        if before.scope is not None:
            before.scope.cancel()
        self._tell()
        if self._policy.warm_on_open and self._is_open:
            self.begin()

    def stop(self) -> None:
        """End each wait with `CacheClosedError`, because the cache closes."""
        self._is_open = False
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = Event()
        self._note()

    def _note(self) -> None:
        """Tell of a state that was not told yet; of none before warming has begun."""
        if self._course.has_begun and (news := self._course.news(self._now())) is not None:
            self._changed(news)

    def _go_on(self) -> None:
        course = self._course
        if course.scope is not None or not self._is_open:
            return
        scope = course.scope = CancelScope()

        async def run() -> None:
            with scope:
                with move_on_after(self._policy.within) as in_time:
                    await self._warm(course)
                if in_time.cancelled_caught:
                    self._give_up(course, f"it took longer than {self._policy.within:g} s")
            course.scope = None
            self._tell()

        self._spawn(run)

    def _coverage_of(self, wanted: Sequence[K]) -> Coverage[K]:
        return Coverage(
            wanted,
            has_value=self._has_value,
            # One that the source does not have, as was found out since, is no longer hot.
            is_gone=lambda key: self._hot is None or key not in self._hot or self._is_absent(key),
        )

    async def _warm(self, course: Course[K]) -> None:
        """Offer backfills until the goal is reached or more of them would not help."""
        backfiller, hot, coverage = self._backfiller, self._hot, course.coverage
        if backfiller is None or hot is None:
            return
        if coverage is None:
            ranking = await self._ranking()
            fit = len(ranking) if self._capacity is None else self._capacity
            coverage = course.coverage = self._coverage_of(ranking[:fit] if fit < len(ranking) else ranking)
        await coverage.look(len(coverage))
        self._tell()
        pause, pause_after_failure = _FIRST_PAUSE, _FIRST_PAUSE_AFTER_FAILURE
        while not course.reaches(course.goal):
            hopeless = await self._why_hopeless(backfiller, coverage)
            if hopeless is not None:
                self._give_up(course, hopeless)
                return
            before = coverage.seen
            episode = backfiller.offer(BackfillCause.READY)
            record = None
            if episode is not None:
                await episode.done.wait()
                record = episode.record
                await coverage.look(episode.asked + _MORE)
            if coverage.seen > before:
                pause, pause_after_failure = _FIRST_PAUSE, _FIRST_PAUSE_AFTER_FAILURE
            elif record is not None and record.status is Status.FAILED:  # it has cost a permit
                await sleep(pause_after_failure)
                pause_after_failure = min(2 * pause_after_failure, _LONGEST_PAUSE_AFTER_FAILURE)
                await coverage.look(len(coverage))
            else:
                await sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                await coverage.look(len(coverage))
            self._tell()

    async def _why_hopeless(self, backfiller: Backfiller[K], coverage: Coverage[K]) -> str | None:
        """Return why another backfill would not help; ``None`` when it may."""
        if coverage and coverage.gone == len(coverage):
            return f"the source has none of the {coverage.gone} hot keys; are they of the right type?"
        if self._is_full():
            return "there is no room for more"
        why_not = backfiller.why_not(BackfillCause.READY)
        if why_not is not None and not (why_not == WAITING and self._is_read()):
            return why_not if why_not != WAITING else NOBODY_READS
        if self._budget.permits_left == 0:
            await self._budget.refresh()
            if self._budget.permits_left == 0 and self._budget.is_known:
                return "no permit is left (approve_backfills allows more)"
        return None

    def _give_up(self, course: Course[K], why: str) -> None:
        course.given_up = f"{why}; {course}"
