"""The copies in turns, each into an empty store, in a process of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from redis import Redis

from benchmarks.jobs.checkpoints import checkpoint_seconds
from benchmarks.jobs.copies import CONTENDERS, Contender, Timed, timed
from benchmarks.scaling.isolation import in_a_process
from tests.servers.wheels import NoServerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.jobs.places import Place

_OURS: Final = ("cache.db", "jobs.sqlite")
_CHECKPOINTS: Final = 2_000
Measure = Literal["processor time", "clock"]


class WrongCopyError(Exception):
    """A copy left something out; the text is one line."""


@dataclass(slots=True)
class Results:
    """The runs of each contender at one place, round by round.

    ``checkpoint``
        seconds of processor time, and by the clock.
    ``large``
        a job with many more rows.
    """

    place: str
    rows: int
    runs: dict[Contender, list[Timed]] = field(default_factory=dict)
    checkpoint: tuple[float, float] = (0.0, 0.0)
    large: Timed | None = None

    def ratios(
        self, one: Contender, other: Contender, by: Measure, *, verified: bool = False
    ) -> Sequence[float]:
        """Return the rate of ``one`` over that of ``other``, round by round."""
        pairs = zip(self.runs[one], self.runs[other], strict=True)
        return [seconds(two, by) / seconds(run, by, verified=verified) for run, two in pairs]

    def checkpoint_share(self) -> float:
        """Return which share of a job's own processor time its checkpoints take."""
        jobs = self.runs["job"]
        return self.checkpoint[0] * sum(run.pages for run in jobs) / sum(run.used.own for run in jobs)


def seconds(run: Timed, by: Measure, *, verified: bool = False) -> float:
    """Return the seconds by the clock, or of processor time of all processes."""
    used = run.verified if verified else run.used
    return used.clock if by == "clock" else used.processors


def contest(place: Place, rounds: int) -> Results:
    """Measure each contender in each round, in an order that rotates; of several the first only warms up.

    :raises NoServerError: when the Redis database is not empty.
    :raises WrongCopyError: when a copy left something out.
    """
    _require_empty(place)
    results = Results(place.name, place.rows, {name: [] for name in CONTENDERS})
    warm = 1 if rounds > 1 else 0
    for number in range(rounds + warm):
        first = number % len(CONTENDERS)
        for name in (*CONTENDERS[first:], *CONTENDERS[:first]):
            run = run_once(name, place)
            if number >= warm:
                results.runs[name].append(run)
    found = []
    for _ in range(rounds):
        _remove_files(place)
        found.append(in_a_process(checkpoint_seconds, place, _CHECKPOINTS))
    results.checkpoint = min(one for one in found if one is not None)
    return results


def run_once(name: Contender, place: Place) -> Timed:
    """Let one contender copy in a process of its own, and empty the store."""
    _remove_files(place)
    made = in_a_process(timed, name, place)
    if made is None:
        raise WrongCopyError(f"{name}: its process was ended")
    if made.rows != place.rows or (name == "job" and made.status != "done"):
        raise WrongCopyError(f"{name}: {made.rows:,} of {place.rows:,} rows were kept, it is {made.status}")
    _remove_files(place)
    if place.redis is not None:
        with Redis.from_url(place.redis) as client:
            client.flushdb(asynchronous=False)
    return made


def _require_empty(place: Place) -> None:
    if place.redis is None:
        return
    with Redis.from_url(place.redis) as client:
        if client.dbsize():
            raise NoServerError("the Redis database is not empty, and it would be emptied: give another one")


def _remove_files(place: Place) -> None:
    for name in _OURS:
        for path in Path(place.folder).glob(f"{name}*"):
            path.unlink()
