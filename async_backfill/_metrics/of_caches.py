"""What is told of a cache: one table for all libraries. Whatever counts never goes down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from async_backfill._metrics.facts import Fact, Timing, one, some
from async_backfill.backfill.readiness import ReadinessState
from async_backfill.outcomes import LoadCause
from async_backfill.records import BudgetState, CircuitState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from async_backfill._metrics.facts import Values
    from async_backfill.stats import FarStats, Stats

CACHE: Final = "cache"
"""The label that every metric of a cache has: its name."""


def _lookups(stats: Stats) -> Values:
    return [(("hit",), stats.hits - stats.stale), (("stale",), stats.stale), (("miss",), stats.misses)]


def _causes(stats: Stats) -> Values:
    return [((cause.value,), count) for cause, count in stats.first_causes.items()]


def _source_calls(stats: Stats) -> Iterator[tuple[tuple[str, ...], float]]:
    for cause in LoadCause:
        failed = stats.calls_failed.get(cause, 0)
        yield (cause.value, "ok"), stats.calls.get(cause, 0) - failed
        yield (cause.value, "failed"), failed


def _source_keys(stats: Stats) -> Values:
    counts = {
        LoadCause.MISS: stats.miss_keys,
        LoadCause.REFRESH: stats.refresh_keys,
        LoadCause.BACKFILL: stats.backfill_keys,
    }
    return [((cause.value,), count) for cause, count in counts.items()]


def _backfills(stats: Stats) -> Values:
    return [
        (("started",), stats.backfills),
        (("completed",), stats.backfills_completed),
        (("failed",), stats.backfills_failed),
        (("cancelled",), stats.backfills_cancelled),
        (("skipped",), stats.backfills_skipped),
        (("denied",), stats.backfills_denied),
    ]


def _scans(stats: Stats) -> Values:
    return [(("ok",), stats.scans - stats.scans_failed), (("failed",), stats.scans_failed)]


def _circuits(stats: Stats) -> Iterator[tuple[tuple[str, ...], float]]:
    far = None if stats.far is None else stats.far.circuit
    for circuit, now in (("source", stats.circuit), ("far_tier", far)):
        if now is not None:
            yield from (((circuit, state.value), float(state is now)) for state in CircuitState)


def _readiness(stats: Stats) -> Values:
    now = stats.readiness
    return () if now is None else [((state.value,), float(state == now)) for state in ReadinessState]


def _snapshots(stats: Stats) -> Values:
    now = stats.snapshot
    return () if now is None else [(("saved",), now.saved), (("failed",), now.failed)]


def _of_far(read: Callable[[FarStats], Mapping[tuple[str, ...], float]]) -> Callable[[Stats], Values]:
    return lambda stats: () if stats.far is None else read(stats.far).items()


def _far_calls(far: FarStats) -> dict[tuple[str, ...], float]:
    counts: dict[tuple[str, ...], float] = {}
    for what, calls in far.calls.items():
        failed = min(calls, far.calls_failed.get(what, 0))
        counts[what, "ok"], counts[what, "failed"] = calls - failed, failed
    return counts


FACTS: Final[tuple[Fact[Stats], ...]] = (
    some("lookups", "counter", "{lookup}", ("result",), _lookups,
         "Lookups: answered by a fresh value (hit), by a stale one (stale), or not at once (miss)."),
    some("misses", "counter", "{lookup}", ("cause",), _causes,
         "Misses by why the key was not in memory, as known before its load; needs probation."),
    one("misses.led", "counter", "{lookup}", lambda stats: stats.led,
        "Misses that started the load of their key; the others joined one, or the absence was known."),
    one("misses.absent", "counter", "{lookup}", lambda stats: stats.absent,
        "Misses whose key the source does not have."),
    one("misses.failed", "counter", "{lookup}", lambda stats: stats.failed,
        "Misses that ended in an error."),
    some("source.calls", "counter", "{call}", ("cause", "outcome"), _source_calls,
         "Calls of the source that have ended, by what they were for; failed ones brought nothing."),
    some("source.keys", "counter", "{key}", ("cause",), _source_keys,
         "Keys that the source delivered, by what they were loaded for."),
    one("source.calls.abandoned", "gauge", "{call}", lambda stats: stats.abandoned,
        "Calls of the source that go on although their timeout is over."),
    one("keys", "gauge", "{key}", lambda stats: stats.size, "Keys in memory."),
    one("keys.loading", "gauge", "{key}", lambda stats: stats.in_flight, "Keys that are being loaded."),
    one("weight", "gauge", "", lambda stats: stats.weight,
        "What is in memory weighs together, in the unit of the store; of a WeighedStore only."),
    one("evictions", "counter", "{key}", lambda stats: stats.evictions,
        "Keys that were evicted to make room."),
    one("expirations", "counter", "{key}", lambda stats: stats.expirations,
        "Keys that were removed because they had expired."),
    one("unkept", "counter", "{key}", lambda stats: stats.unkept,
        "Loaded values that the store could not keep: they were handed out, and the log says why."),
    one("unremembered", "counter", "{key}", lambda stats: stats.unremembered,
        "Loads of absent keys that are too long to be remembered as absent."),
    some("backfills", "counter", "{backfill}", ("status",), _backfills,
         "Decisions about backfills and how those that started ended, by the status in the audit log."),
    one("backfill.keys", "counter", "{key}", lambda stats: stats.backfill_keys,
        "Keys that were loaded by backfills, or along with others, before anybody asked for them."),
    one("backfill.keys.read", "counter", "{key}", lambda stats: stats.backfill_keys_read,
        "Of these keys those that were read before they were removed; needs probation."),
    some("scan.pages", "counter", "{page}", ("outcome",), _scans,
         "Pages of its keys that the source was asked for by backfills."),
    one("scan.keys", "counter", "{key}", lambda stats: stats.scanned_keys, "Keys on these pages."),
    one("permits.left", "gauge", "{backfill}", lambda stats: stats.permits_left,
        "Automatic backfills that may still start; nothing where there is no limit."),
    one("needs_approval", "gauge", "", lambda stats: float(stats.budget is BudgetState.NEEDS_APPROVAL),
        "1 while no backfill starts until a person approves more, else 0."),
    some("circuit.state", "gauge", "", ("circuit", "state"), _circuits,
         "1 for the state of the circuit before the source or the far tier, 0 for its other states."),
    some("readiness.state", "gauge", "", ("state",), _readiness,
         "1 for how far warming is, 0 for the other states; nothing before anybody has asked."),
    some("far.lookups", "counter", "{key}", ("result",),
         _of_far(lambda far: {("hit",): far.hits, ("miss",): far.misses}),
         "Keys that were looked for in the far tier: found there (hit), or not, or not usable (miss)."),
    some("far.writes", "counter", "{key}", ("outcome",),
         _of_far(lambda far: {("written",): far.written, ("unwritten",): far.unwritten}),
         "Values for the far tier: written there, or not: that failed, came too late, or they cannot be."),
    some("far.calls", "counter", "{call}", ("operation", "outcome"), _of_far(_far_calls),
         "Calls of the far tier by what was asked for; those that an open circuit held back are none."),
    one("far.leases.unreleased", "counter", "{lease}",
        lambda stats: None if stats.far is None else stats.far.unreleased,
        "Leases that could not be given back, so that others wait until they end."),
    some("snapshots", "counter", "{snapshot}", ("outcome",), _snapshots,
         "Snapshots that were saved, or could not be; with the setting only."),
    one("audit.dropped", "counter", "{record}", lambda stats: stats.audit_dropped,
        "Audit records that are no longer held in memory."),
)  # fmt: skip

_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

LOAD: Final = Timing(
    name="load.duration",
    labels=("cause",),
    buckets=_SECONDS,
    text="Seconds that calls of the source took, by what they were for.",
)
WAIT: Final = Timing(
    name="wait.duration",
    buckets=_SECONDS,
    text="Seconds that callers waited whose key was not fresh in memory; a call for several keys waits once.",
)
BACKFILL: Final = Timing(
    name="backfill.duration",
    buckets=(0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 300.0),
    text="Seconds that backfills took that have ended, however they did.",
)
TIMINGS: Final = (LOAD, WAIT, BACKFILL)
