"""The runner at concurrency 1 once more, in lists and dicts: no await, no index, no shared code.

What a summary must say is worked out here from its description alone, one lookup after another,
with everything counted anew each time. It is as slow as it is plain.
"""

from __future__ import annotations

import random
import re

DEFAULTS = {
    "miss_threshold": 0.5,
    "backfill_batch": 10,
    "max_backfills": None,
    "capacity": None,
    "window": 1000,
    "min_lookups": 3,
    "backfill_evicts": False,
    "eviction": "fifo",
    "concurrency": 1,
    "selection": "source",
    "successors": 0,
    "flush_at": None,
    "lookups_per_second": None,
    "arrival_seed": 0,
    "ttl": None,
    "ttl_jitter": 0.0,
    "ttl_seed": 0,
    "stale_for": 0.0,
    "absent_ttl": None,
}
AUDIT_KEEPS = 1000
SIMULATED_FAILURE = re.compile(r"simulated failure \d+ of call \d+")


def with_bare_errors(summary: dict) -> dict:
    """Cut the errors in a summary of the runner down to what a simulated source says."""
    for entry in (*summary.get("lookup_results", ()), *summary["audit"]):
        if "error" in entry:
            entry["error"] = SIMULATED_FAILURE.search(entry["error"])[0]
    return summary


class CallFailedError(Exception):
    """The source failed a call."""


class ReferenceModel:
    """Replays lookups in ``rows``, a plain dict; ``settings`` are the scenario's, without defaults.

    A source with an ``error_rate`` fails the calls that a generator of that ``seed`` picks.
    """

    def __init__(self, rows: dict, settings: dict, *, error_rate: float = 0.0, seed: int = 0) -> None:
        self.rows = rows
        self.settings = {**DEFAULTS, **settings}
        self.error_rate = error_rate
        self.draws = random.Random(f"errors {seed}")
        self.cached: dict[str, None] = {}  # the least recently added key first
        self.outcomes: list[str] = []  # "hit" or "miss", one a lookup
        self.results: list[dict] = []
        self.audit: list[dict] = []
        self.permits = self.settings["max_backfills"]
        self.failed_calls = 0
        self.counts = dict.fromkeys(
            ("absent", "failed", "backfills", "skipped", "denied", "evictions", "calls", "keys"), 0
        )

    def summary(self, lookups: list[str], *, results_limit: int = 1000) -> dict:
        for key in lookups:
            self.look_up(key)
        hits, misses = self.outcomes.count("hit"), self.outcomes.count("miss")
        counts = self.counts
        summary = {
            "lookups": len(lookups),
            "cache_size": len(self.cached),
            "hits": hits,
            "misses": misses,
            "absent": counts["absent"],
            "failed": counts["failed"],
            "hit_rate": round(hits / len(lookups), 4) if lookups else 0.0,
            "miss_rate": round(misses / len(lookups), 4) if lookups else 0.0,
            "backfills": counts["backfills"],
            "backfills_skipped": counts["skipped"],
            "backfills_denied": counts["denied"],
            "evictions": counts["evictions"],
            "source_calls": counts["calls"],
            "source_keys": counts["keys"],
            "audit": self.audit[-AUDIT_KEEPS:],
            "audit_dropped": max(0, len(self.audit) - AUDIT_KEEPS),
            "settings": self.settings,
        }
        if len(lookups) <= results_limit:
            summary["lookup_results"] = self.results
        return summary

    def look_up(self, key: str) -> None:
        if key in self.cached:
            self.outcomes.append("hit")
            self.results.append({"key": key, "value": self.rows[key], "found": True})
            return
        self.outcomes.append("miss")
        if self.wants_backfill():
            self.backfill()
        if key not in self.cached:
            try:
                self.load([key])
            except CallFailedError as failure:
                self.counts["failed"] += 1
                self.results.append({"key": key, "value": None, "found": False, "error": str(failure)})
                return
        if key in self.cached:
            self.results.append({"key": key, "value": self.rows[key], "found": True})
        else:
            self.counts["absent"] += 1
            self.results.append({"key": key, "value": None, "found": False})

    def window(self) -> list[str]:
        return self.outcomes[-self.settings["window"] :]

    def wants_backfill(self) -> bool:
        window = self.window()
        enough = len(window) >= self.settings["min_lookups"]
        return enough and window.count("miss") / len(window) >= self.settings["miss_threshold"]

    def backfill(self) -> None:
        keys = self.candidates()
        if not keys:
            self.counts["skipped"] += 1
            self.record("skipped")
            return
        if self.permits == 0:
            self.counts["denied"] += 1
            self.record("denied")
            return
        if self.permits is not None:
            self.permits -= 1
        self.counts["backfills"] += 1
        about = {"backfill": self.counts["backfills"], "keys": len(keys)}
        self.record("started", **about)
        try:
            self.load(keys)
        except CallFailedError as failure:
            self.record("failed", **about, error=str(failure))
        else:
            self.record("completed", **about, loaded=len(keys))

    def candidates(self) -> list[str]:
        most = self.settings["backfill_batch"]
        capacity = self.settings["capacity"]
        if capacity is not None:
            room = capacity if self.settings["backfill_evicts"] else capacity - len(self.cached)
            most = min(most, room)
        missing = [key for key in self.rows if key not in self.cached]
        return missing[:most]

    def load(self, keys: list[str]) -> None:
        """Ask the source once for all ``keys`` and add those that it has."""
        self.counts["calls"] += 1
        if self.draws.random() < self.error_rate:
            self.failed_calls += 1
            raise CallFailedError(f"simulated failure {self.failed_calls} of call {self.counts['calls']}")
        for key in keys:
            if key in self.rows:
                self.counts["keys"] += 1
                self.add(key)

    def add(self, key: str) -> None:
        if len(self.cached) == self.settings["capacity"]:
            del self.cached[next(iter(self.cached))]
            self.counts["evictions"] += 1
        self.cached[key] = None

    def record(self, status: str, **facts: object) -> None:
        """Write a decision down; one that only repeats the one before it is folded into that."""
        window = self.window()
        seen = {
            "last_lookup": len(self.outcomes),
            "window_misses": window.count("miss"),
            "window_lookups": len(window),
        }
        if status in {"skipped", "denied"} and self.audit and self.audit[-1]["status"] == status:
            self.audit[-1].update(seen)
            self.audit[-1]["repeats"] += 1
            return
        record = {
            "number": len(self.audit) + 1,
            "status": status,
            "cause": "threshold",
            "lookup": len(self.outcomes),
            **seen,
            "keys": 0,
            "loaded": 0,
            "repeats": 1,
            **facts,
        }
        if self.permits is not None:
            record["permits_left"] = self.permits
        self.audit.append(record)
