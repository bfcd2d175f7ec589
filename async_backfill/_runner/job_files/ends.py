"""Decode the two ends of a job: a source that can be read in ranges, and a store."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from async_backfill._runner.job_files.model import BudgetSpec, RedisSpec, SQLiteSpec
from async_backfill._runner.scenario.environment import check_url, name_of_secret
from async_backfill._runner.scenario.live import beside
from async_backfill._runner.scenario.model import FileSpec, SQLSpec
from async_backfill._runner.scenario.strict import Strict, described
from async_backfill._runner.wording import shown
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from async_backfill._runner.wording import Place

RangedSpec: TypeAlias = SQLSpec | FileSpec
FarSpec: TypeAlias = SQLiteSpec | RedisSpec

_SOURCES: Final = MappingProxyType[str, type[RangedSpec]]({"sql": SQLSpec, "file": FileSpec})
_STORES: Final = MappingProxyType[str, type[FarSpec]]({"sqlite": SQLiteSpec, "redis": RedisSpec})
_NOT_RANGED: Final = MappingProxyType(
    {
        "http": "a web service answers for keys that it is asked for, and does not list its rows",
        "simulated": "it only stands for a source",
        "mapping": "its entries are in the scenario itself",
        "table": 'it is read into memory: write "file", which reads the same file from disk',
    }
)
_SOURCE: Final[Place] = (None, "source")
_STORE: Final[Place] = (None, "store")
_BUDGET: Final[Place] = (None, "budget")


class Ends(Strict):
    """A decoder of the ends of one job; each error begins with the name of its file."""

    def source(self, spec: object) -> RangedSpec:
        """Return the source that ``spec`` describes.

        :raises ScenarioError: for one that cannot be read in ranges, or whose description is wrong.
        """
        kind, fields = self._kind(spec, _SOURCE, tuple(_SOURCES))
        source = self.struct(fields, _SOURCES[kind], _SOURCE, also="kind")
        if isinstance(source, SQLSpec):
            self._check(_SOURCE, lambda: check_url(source.url))
        return source

    def store(self, spec: object) -> FarSpec:
        """Return the store that ``spec`` describes; raises `ScenarioError` as `source` does."""
        kind, fields = self._kind(spec, _STORE, tuple(_STORES))
        store = self.struct(fields, _STORES[kind], _STORE, also="kind")
        if isinstance(store, RedisSpec):
            self._check(_STORE, lambda: check_url(store.url))
        if store.signing_key is not None:
            key = store.signing_key
            self._check(_STORE, lambda: name_of_secret("signing_key", key))
        return store

    def budget(self, spec: object) -> BudgetSpec | None:
        """Return the budget that ``spec`` describes, if it does; raises `ScenarioError` as `source` does."""
        if spec is None:
            return None
        _, fields = self._kind(spec, _BUDGET, ("redis",))
        budget = self.struct(fields, BudgetSpec, _BUDGET, also="kind")
        self._check(_BUDGET, lambda: check_url(budget.url))
        return budget

    def _kind(self, spec: object, place: Place, kinds: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
        if not isinstance(spec, dict):
            raise self.error(place, f"expected an object, got {described(spec)}")
        kind = spec.get("kind")
        if place == _SOURCE and isinstance(kind, str) and kind in _NOT_RANGED:
            why = f"cannot be read in ranges, so no job can copy it: {_NOT_RANGED[kind]}"
            raise self.error((place, "kind"), f"{shown(kind)} {why}")
        if "kind" not in spec:
            raise self.error((place, "kind"), f"is missing: one of {', '.join(map(shown, kinds))}")
        self.check_choice(kind, (place, "kind"), allowed=kinds)
        return str(kind), {name: value for name, value in spec.items() if name != "kind"}

    def _check(self, place: Place, check: Any) -> None:
        try:
            check()
        except ConfigurationError as error:
            raise self.error((place, error.setting), error.problem) from error


def placed(spec: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the description of an end with the path of its file from ``folder``, absolute."""
    made = dict(spec)
    if isinstance(made.get("file"), str):
        made["file"] = str((folder / made["file"]).absolute())
    if isinstance(made.get("url"), str):
        made["url"] = beside(made["url"], folder)
    return made
