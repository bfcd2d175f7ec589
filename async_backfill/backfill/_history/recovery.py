"""How far a recovery may go: a first step, then steps that double while what they loaded is read."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, Protocol

from async_backfill.backfill._backoff import Backoff
from async_backfill.records import BackfillCause

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from async_backfill.contracts import Trigger

FIRST_STEP: Final = 500
"""Keys that are loaded before anybody has read one of them."""
UNPROVEN: Final = 3 * FIRST_STEP
"""Keys that a question of readiness may load of a journal that nothing vouches for: the first two steps."""
_LEAST_READS: Final = 2
_SHARE: Final = 0.005
_USUAL: Final = 0.5
_SETTLED: Final = 100
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0
WAITING: Final = "waits until what it has loaded is read"


class StepReads(Protocol):
    """Counts which keys of a step are read: receipts, or where there are none, the recorder of lookups."""

    counted: int

    def watch(self, keys: Collection[Any], /, *, anew: bool) -> None:
        """Count in ``counted`` which of ``keys`` are read; with ``anew``, from 0, and no others any more."""
        ...


class Recovery:
    """Decides whether backfills from history go on, after a cache with a history was emptied.

    It begins by itself, without a threshold, and loads a first step of keys. The next step has twice as many.
    It is taken once keys of the latest were read, or others of the history missed: two at least, half as many
    as it cost calls, and one in some hundred lookups (1 / 200 of the usual hit rate). Where each key is a
    call, only those count that were read. It gives up after ``patience`` lookups without that. Then no
    backfill from history follows until the cache is emptied again, opened again, or a person allows more. So
    a journal that nobody needs costs one step or two.

    :param first_step: keys of the first step.
    :param a_call: keys of one source call.
    :param most: returns how many keys a recovery loads at the most.
    :param patience: lookups after which a step that was not read ends it.
    :param reads: counts which of the keys of a step are read.
    :param wanted: returns how many keys of the history were missed so far, each for the first time.
    :param lookups: returns the number of lookups that the cache has counted.
    :param usual: returns the usual hit rate; ``None`` when it is not known.
    :param reading: returns the misses and lookups that the trigger saw lately.
    """

    def __init__(  # noqa: PLR0913 - each is a fact of its own; the cache puts them together once
        self,
        *,
        first_step: int,
        a_call: int,
        most: Callable[[], int],
        patience: int,
        reads: StepReads,
        wanted: Callable[[], int],
        lookups: Callable[[], int],
        usual: Callable[[], float | None],
        reading: Callable[[], tuple[int, int]],
    ) -> None:
        self._first_step = first_step
        self._a_call = a_call
        self._most = most
        self._patience = patience
        self._reads = reads
        self._wanted = wanted
        self._lookups = lookups
        self._usual = usual
        self._reading = reading
        self._backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        self._has_history = self._is_on = self._is_vouched_for = False
        self.given_up: str | None = None
        self._begin_at(0)

    def _begin_at(self, step: int) -> None:
        self._step = self._left = step
        self._asked = 0
        self._begin_step()

    def _begin_step(self) -> None:
        self._unread = 0
        self._calls = 0.0
        self._landed_at = 0
        self._wanted_before = self._wanted()

    def reopened(self, *, has_history: bool) -> None:
        """Take note that the cache was opened with what it held: only the threshold starts backfills."""
        self.emptied(has_history=has_history, is_vouched_for=True)
        self._is_on = False

    def emptied(self, *, has_history: bool, is_vouched_for: bool) -> None:
        """Take note that the cache is empty, and whether keys are known to have been hot.

        :param is_vouched_for: whether the history is that of this service a short while ago. Then a question
            of readiness loads all of it before anybody reads.
        """
        self._has_history = self._is_on = has_history
        self._is_vouched_for = is_vouched_for
        self.given_up = None
        self._backoff.succeeded()
        self._begin_at(self._first_step)

    def approved(self) -> None:
        """Go on, because a person allowed more."""
        self._is_on = self._has_history
        if self.given_up is not None:
            self.given_up = None
            self._left = self._step
            self._begin_step()

    @property
    def is_on(self) -> bool:
        """Whether backfills from history are due, however few lookups miss."""
        is_wanted = self._is_on and self.given_up is None and self._backoff.is_over
        return is_wanted and self._is_below_usual(self._asked)

    @property
    def is_due(self) -> bool:
        """Whether one is due right now."""
        return self.is_on and self.allows(BackfillCause.RECOVERY) > 0

    def allows(self, cause: BackfillCause) -> int:
        """Return how many keys a backfill from history with ``cause`` may load now."""
        if not self._has_history or cause is BackfillCause.MANUAL:
            return sys.maxsize
        if self._left <= 0:
            self._judge()
        if self.given_up is not None:
            return 0
        if cause is not BackfillCause.READY:
            return max(self._left, 0)
        return sys.maxsize if self._is_vouched_for else max(self._left, UNPROVEN - self._asked, 0)

    def goes_on(self, asked: int) -> bool:
        """Return whether another backfill should follow at once on those that asked for ``asked`` keys."""
        return self._has_history and self._is_below_usual(asked)

    def begins(self, keys: Collection[Any]) -> None:
        """Take note that a backfill asks for ``keys``."""
        self._reads.watch(keys, anew=not self._unread)
        self._left -= len(keys)
        self._asked += len(keys)
        self._unread += len(keys)
        self._calls += max(1.0, len(keys) / self._a_call)

    def landed(self) -> None:
        """Take note that what was asked for has come."""
        self._landed_at = self._lookups()
        self._backoff.succeeded()

    def hindered(self) -> None:
        """Take note that the source failed or must not be called now, or that there is no room: pause."""
        if (
            self._has_history
        ):  # else nothing is due until the cache is emptied, and a full one asks at each miss
            self._backoff.failed()

    def over(self) -> None:
        """Take note that nothing is left to load, or no permit: from now on the threshold decides."""
        self._is_on = False

    def why_not(self, cause: BackfillCause) -> str | None:
        """Return why no backfill with ``cause`` is allowed now; ``None`` when one is."""
        return None if self.allows(cause) else self.given_up or WAITING

    @property
    def is_read(self) -> bool:
        """Whether anybody has looked anything up since the latest keys came."""
        return self._lookups() > self._landed_at

    def _judge(self) -> None:
        """Take the next step if the latest was read; give up if it was not for too long."""
        lookups, reads = self._lookups() - self._landed_at, self._reads.counted
        usual = self._usual()
        rate = _SHARE * (_USUAL if usual is None else usual)
        wanted = self._wanted() - self._wanted_before if self._a_call > 1 else 0
        if reads + wanted >= max(_LEAST_READS, self._calls / 2, rate * lookups):
            self._step *= 2
            self._left = self._step
            self._begin_step()
        elif lookups >= self._patience:
            self.given_up = f"of the {self._unread} keys loaded last, {reads} were read in {lookups} lookups"
            self._reads.watch((), anew=True)

    def _is_below_usual(self, asked: int) -> bool:
        """Return whether the hit rate has not come back yet to what it was before the cache went cold.

        Not for ever: after as many keys as could be there, what is missing would push out the rest.
        """
        if asked >= self._most():
            return False
        usual = self._usual()
        misses, lookups = self._reading()
        return usual is None or lookups < _SETTLED or lookups - misses < usual * lookups


class RecoveryTrigger:
    """Fires when ``trigger`` does, and at each miss while a recovery is due; implements `Trigger`."""

    def __init__(self, trigger: Trigger, recovery: Recovery) -> None:
        self._trigger = trigger
        self._recovery = recovery
        self.reading = trigger.reading

    def observe_miss(self, lookup: int, /) -> bool:
        """Record that lookup number ``lookup`` missed; return whether to offer a backfill."""
        return self._trigger.observe_miss(lookup) or self._recovery.is_due
