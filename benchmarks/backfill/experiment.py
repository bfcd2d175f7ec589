"""The copies in turns, each into an empty Redis, with the processor time of the servers."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final

from redis import Redis

from benchmarks.backfill.measuring import CONTENDERS, Contender, Copying, timed
from benchmarks.backfill.table import TTL, Place, filled
from benchmarks.backfill.usage import processor_seconds
from benchmarks.scaling.isolation import in_a_process
from tests.servers.wheels import NoServerError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    from benchmarks.backfill.servers import Server

    _Round: TypeAlias = dict[Contender, "Run"]


_CALM: Final = 0.15  # cores that are busy with anything else
_ATTEMPTS: Final = 3
_PATIENCE: Final = 300.0  # seconds, after which no round is measured again


class WrongCopyError(Exception):
    """A copy left wrong data in Redis; the text is one line."""


@dataclass(frozen=True, slots=True)
class Run:
    """One copy of one contender; the seconds of a server are ``None`` when it was not started here.

    ``others`` is how many cores were busy meanwhile with what is not part of the benchmark.
    """

    copying: Copying
    postgres_seconds: float | None
    redis_seconds: float | None
    others: float | None = None

    @property
    def rate(self) -> float:
        """Rows per second."""
        return self.copying.rows / self.copying.seconds

    @property
    def work(self) -> float | None:
        """Processor seconds of all processes; ``None`` when a server was not started here."""
        parts = (
            self.copying.own_seconds,
            self.copying.programs_seconds,
            self.postgres_seconds,
            self.redis_seconds,
        )
        return None if None in parts else sum(filter(None, parts))


@dataclass(slots=True)
class Results:
    """The runs of each contender, round by round, and one run of ours with many more rows.

    ``measured`` is of how many rounds these are the least disturbed.
    """

    rows: int
    runs: dict[Contender, list[Run]]
    large: Run | None = None
    measured: int = 0

    def ratios(self, contender: Contender, to: Contender) -> list[float]:
        """Return the rate of ``contender`` over that of ``to``, round by round."""
        pairs = zip(self.runs[contender], self.runs[to], strict=True)
        return [one.rate / other.rate for one, other in pairs]

    def work_ratio(self, contender: Contender, to: Contender) -> float | None:
        """Return how many rows ``contender`` copies for the processor time of one row of ``to``.

        Of each the least of all rounds counts. It says little of a calm machine, and most of a busy one.
        """
        least = [
            min((run.work for run in self.runs[name] if run.work), default=0.0) for name in (to, contender)
        ]
        return least[0] / least[1] if all(least) else None


class Experiment:
    """Copies the same table again and again between two servers."""

    def __init__(self, postgres: Server, redis: Server) -> None:
        self._postgres = postgres
        self._redis = redis
        with Redis.from_url(redis.url) as client:
            if client.dbsize():
                raise NoServerError(
                    "the Redis database is not empty, and it would be emptied: give another one"
                )

    async def contest(self, rows: int, rounds: int) -> Results:
        """Measure each contender in each round, in an order that rotates; a round before only warms up.

        Up to three times as many rounds are measured, in five minutes, until ``rounds`` of them were calm.
        Those count in which the machine was least busy with anything else, whatever came out of them.
        """
        place = Place(self._postgres.url, self._redis.url, rows)
        found: list[_Round] = []
        end = monotonic() + _PATIENCE
        async with filled(place.postgres_url, rows):
            self._round(CONTENDERS, place)
            while len(found) < rounds or (
                len(found) < rounds * _ATTEMPTS and sum(map(_is_calm, found)) < rounds and monotonic() < end
            ):
                first = len(found) % len(CONTENDERS)
                found.append(self._round((*CONTENDERS[first:], *CONTENDERS[:first]), place))
        kept = sorted(found, key=_disturbance)[:rounds]
        return Results(rows, {name: [one[name] for one in kept] for name in CONTENDERS}, measured=len(found))

    async def large(self, rows: int) -> Run:
        """Measure ours once, with ``rows`` rows."""
        place = Place(self._postgres.url, self._redis.url, rows)
        async with filled(place.postgres_url, rows):
            return self._round(("ours",), place)["ours"]

    def _round(self, contenders: Iterable[Contender], place: Place) -> _Round:
        return {contender: self._run(contender, place) for contender in contenders}

    def _run(self, contender: Contender, place: Place) -> Run:
        servers = (self._postgres.process, self._redis.process)
        before = [processor_seconds(server) for server in servers]
        copying = in_a_process(timed, contender, place)
        if copying is None:
            raise WrongCopyError(f"{contender}: its process was ended")
        after = [processor_seconds(server) for server in servers]
        check(contender, copying, place)
        with Redis.from_url(place.redis_url) as client:
            client.flushdb()
        postgres, redis = (
            None if end is None or start is None else end - start
            for start, end in zip(before, after, strict=True)
        )
        return Run(copying, postgres, redis, _others(copying, postgres, redis))


def _disturbance(one: _Round) -> float:
    return max(run.others or 0.0 for run in one.values())


def _is_calm(one: _Round) -> bool:
    return _disturbance(one) < _CALM


def _others(copying: Copying, *servers: float | None) -> float | None:
    ours = Run(copying, *servers).work
    if copying.machine_seconds is None or ours is None:
        return None
    return max(0.0, copying.machine_seconds - ours) / copying.seconds


def check(contender: Contender, copying: Copying, place: Place) -> None:
    """Check that all rows are in Redis and have a ttl.

    :raises WrongCopyError: when not.
    """
    with Redis.from_url(place.redis_url) as client:
        there = client.dbsize()
        left = client.ttl(client.randomkey() or "")
    if not copying.rows == there == place.rows:
        counted = f"{copying.rows} were counted, {there} are there"
        raise WrongCopyError(f"{contender}: of {place.rows} rows {counted}")
    if not 0 < left <= TTL:
        raise WrongCopyError(f"{contender}: a row has a ttl of {left} s")
