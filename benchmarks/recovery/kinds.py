"""The kinds of restart: what a process leaves to the next one, and the settings of both."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from async_backfill import BackfillPolicy
from async_backfill.backfill.journal_file import JournalFile
from async_backfill.stores.snapshot_file import SnapshotFile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from async_backfill.contracts import Scan

AGES: Final = (0, 5_000, 20_000)
"""Lookups between the last save of a process and its end."""
_BEGIN: Final = 1_800_000_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of restart; another one is another line in `KINDS`.

    ``settings``
        returns arguments of `BackfillCache`, for a process that leaves what it leaves in ``folder``, and for
        the next one, which gets a copy of the folder. All others are the defaults.
    ``saves``
        the file in the folder that each save replaces; ``None`` when nothing is left.
    ``logs``
        whether what is left also changes between two saves.
    ``can_wait``
        whether the next process can wait with `BackfillCache.ready` before it takes traffic.
    """

    settings: Callable[[Scan[Any], Path], Mapping[str, Any]]
    saves: str | None = None
    logs: bool = False
    can_wait: bool = False

    @property
    def ages(self) -> tuple[int | None, ...]:
        """The ages that are measured of what is left."""
        return (None,) if self.saves is None else AGES


def _history(_: Scan[Any], folder: Path) -> Mapping[str, Any]:
    return {"backfill": BackfillPolicy(selection="history"), "journal": JournalFile(folder / "journal")}


def _snapshot(_: Scan[Any], folder: Path) -> Mapping[str, Any]:
    return {"snapshot": SnapshotFile(folder / "snapshot")}


def _trusted(_: Scan[Any], folder: Path) -> Mapping[str, Any]:
    return {"snapshot": SnapshotFile(folder / "snapshot", restored="trusted")}


KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "cold": Kind(settings=lambda _, __: {}),
        "source order": Kind(settings=lambda scan, _: {"scan": scan}),
        "history": Kind(settings=_history, saves="journal", can_wait=True),
        "snapshot": Kind(settings=_snapshot, saves="snapshot", logs=True),
        "snapshot, trusted": Kind(settings=_trusted, saves="snapshot", logs=True),
    }
)
NEVER: Final = "never emptied"


def name_of(kind: str, age: int | None) -> str:
    """Return the name of a row: the kind, and how many lookups old what is left is."""
    return f"{kind}, {age:,} old" if age else kind


NAMES: Final = tuple(name_of(name, age) for name, kind in KINDS.items() for age in kind.ages)
"""All rows, in the order of the tables."""


def virtual_clocks() -> dict[str, Callable[[], float]]:
    """Return the clocks of a cache, as its arguments: both go with the event loop that runs."""
    time = asyncio.get_running_loop().time
    return {"clock": time, "wall_clock": lambda: _BEGIN + time()}
