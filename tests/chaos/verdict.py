"""What the logs of a run say: wrong values, callers that hung, and slow reads that no fault explains."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tests.chaos.worker import LOAD_TIMEOUT, TTL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

SLOW: Final = 3.0
ELSEWHERE: Final = TTL + LOAD_TIMEOUT + 0.5
"""Seconds after which no process may serve what was replaced: the ttl, and a load that began before."""

_AFTER_A_FAULT: Final = 1.5  # connections are made again, circuits close again


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that was done to the fleet, in seconds of the monotonic clock."""

    what: str
    began: float
    ended: float


@dataclass(slots=True)
class Verdict:
    """The figures of a run, and what must not have happened."""

    reads: int = 0
    writes: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    slow: int = 0
    slowest: float = 0.0
    wrong: list[str] = field(default_factory=list)
    hung: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether nothing happened that must not."""
        return bool(self.reads and self.writes) and not (self.wrong or self.hung or self.unexplained)

    def lines(self) -> Iterator[str]:
        """The figures, then the first of what must not have happened."""
        yield f"{self.reads} reads, {self.writes} writes"
        errors = ", ".join(f"{kind} {count}" for kind, count in self.errors.most_common())
        yield f"reads that ended with an error: {self.errors.total()} ({errors})"
        yield f"slowest read {self.slowest:.2f} s; {self.slow} reads over {SLOW} s"
        for what, lines in (
            ("wrong values", self.wrong),
            ("hung callers", self.hung),
            (f"reads over {SLOW} s that no fault explains", self.unexplained),
        ):
            yield f"{what}: {len(lines)}"
            yield from (f"    {line}" for line in lines[:10])


class _Versions:
    """From when on which version of a key must be read; add them in the order of the moments."""

    def __init__(self) -> None:
        self._moments: list[float] = []
        self._versions: list[int] = []

    def add(self, moment: float, version: int) -> None:
        self._moments.append(moment)
        self._versions.append(max(version, self._versions[-1]) if self._versions else version)

    def least(self, moment: float) -> int:
        """Return the oldest version that a read begun at ``moment`` may find."""
        at = bisect_right(self._moments, moment)
        return self._versions[at - 1] if at else 0


def judge(logs: Iterable[Path], faults: list[Fault]) -> Verdict:
    """Return what the ``logs`` of all processes say."""
    verdict = Verdict()
    records = {path.name: list(_records(path)) for path in logs}
    own: dict[tuple[str, int], _Versions] = {}
    everywhere: dict[int, _Versions] = {}
    writes = [(name, each) for name, some in records.items() for each in some if each["what"] == "write"]
    for name, write in sorted(writes, key=lambda each: each[1]["ended"]):
        verdict.writes += 1
        # In its own process an invalidation holds from its end on, also where it could not be confirmed.
        own.setdefault((name, write["key"]), _Versions()).add(write["ended"], write["version"])
    for _, write in sorted(writes, key=lambda each: each[1]["committed"]):
        everywhere.setdefault(write["key"], _Versions()).add(write["committed"] + ELSEWHERE, write["version"])
    for name, some in records.items():
        for record in some:
            _judge(verdict, record, name, own, everywhere, faults)
    return verdict


def _judge(
    verdict: Verdict,
    record: dict[str, Any],
    name: str,
    own: dict[tuple[str, int], _Versions],
    everywhere: dict[int, _Versions],
    faults: list[Fault],
) -> None:
    began, ended = record["began"], record["ended"]
    if record["what"] == "hung":
        verdict.hung.append(f"{name}: keys {record['keys']} for {ended - began:.1f} s")
    if record["what"] not in {"read", "error"}:
        return
    verdict.reads += 1
    verdict.slowest = max(verdict.slowest, ended - began)
    if record["what"] == "error":
        verdict.errors[record["error"]] += 1
    if ended - began > SLOW:
        verdict.slow += 1
        after = _AFTER_A_FAULT + LOAD_TIMEOUT
        if not any(fault.began < ended and began < fault.ended + after for fault in faults):
            verdict.unexplained.append(f"{name}: at {began:.2f}, for {ended - began:.2f} s")
    for key, version in record.get("found", ()):
        here, there = own.get((name, key)), everywhere.get(key)
        for least, where in (
            (here.least(began) if here else 0, "invalidated by this process"),
            (there.least(began) if there else 0, f"written {ELSEWHERE} s before"),
        ):
            if version < least:
                verdict.wrong.append(f"{name}: key {key} has version {version}, but {least} was {where}")


def _records(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a log; the last line of a process that was killed may be cut off."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.endswith("\n"):
                yield json.loads(line)
