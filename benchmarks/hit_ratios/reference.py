"""Hit ratios of other simulators, to compare with."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from async_backfill.errors import ScenarioError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks.hit_ratios.replay import Replay

FILE_NAME: Final = "reference_hit_ratios.csv"
_UNUSABLE: Final = ("DEGENERATE", "FAILED")

_Case: TypeAlias = tuple[str, int, str, int, int]


@dataclass(frozen=True, slots=True)
class References:
    """The hit ratios of other simulators, by what they simulated."""

    cases: Mapping[_Case, Mapping[str, float]]

    def of(self, replay: Replay) -> Mapping[str, float]:
        """Return the hit ratio of each simulator for the same requests."""
        case = (replay.trace, replay.capacity, replay.eviction, replay.requests, replay.unique)
        return self.cases.get(case, {})


def read_references(folder: Path) -> References:
    """Return the references in `FILE_NAME` of ``folder``; none when there is no such file.

    Rows that a simulator could not work out, or only for want of room, are left out.

    :raises ScenarioError: when the file is not such a table.
    """
    path = folder / FILE_NAME
    cases: dict[_Case, dict[str, float]] = {}
    if not path.is_file():
        return References(cases)
    with path.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines)
        for row in rows:
            try:
                if any(word in row["simulator"] for word in _UNUSABLE):
                    continue
                case = (
                    row["trace"],
                    int(row["capacity"]),
                    row["policy"].lower(),
                    int(row["requests"]),
                    int(row["unique"]),
                )
                cases.setdefault(case, {})[row["simulator"]] = float(row["hit_ratio"])
            except (KeyError, TypeError, ValueError) as error:
                raise ScenarioError(f"{path}:{rows.line_num}: no hit ratio ({error!r})") from error
    return References(cases)
