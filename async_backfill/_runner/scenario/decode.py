"""Decode a plain document into a typed `Scenario`; check names, types and combinations.

The library checks the ranges of numbers itself. This module checks only what can be wrong in a scenario
file.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from async_backfill._runner.scenario.model import (
    FileSpec,
    HTTPSpec,
    KeyFile,
    LiveSpec,
    Lookups,
    MappingSpec,
    Scenario,
    Settings,
    SimulatedSpec,
    SourceSpec,
    SQLSpec,
    StoreSpec,
    Table,
    TableSpec,
    ZipfSpec,
)
from async_backfill._runner.scenario.strict import Strict, described
from async_backfill._runner.wording import shown
from async_backfill.policies import SELECTIONS
from async_backfill.stores._eviction.orders import EVICTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from async_backfill._runner.wording import Place

T = TypeVar("T")

_STRUCTS: Final[Mapping[str, type[MappingSpec | TableSpec | LiveSpec]]] = MappingProxyType(
    {"mapping": MappingSpec, "table": TableSpec, "file": FileSpec, "sql": SQLSpec, "http": HTTPSpec}
)
_KINDS: Final = (*_STRUCTS, "simulated")
_STORE_KINDS: Final = ("redis",)
_LOOKUP_KINDS: Final = ("zipf",)
_KIND_HINT: Final = ' (a mapping with a key "kind" is written {"kind": "mapping", "entries": {...}})'
_ENTRIES: Final = MappingProxyType({"entries": "an object", "table": "an object", "keys": "a whole number"})


def decode(document: Mapping[str, Any], file: str) -> Scenario:
    """Return the scenario that ``document`` describes.

    :param file: the name of the file, the start of each error message.
    :raises ScenarioError: for an unknown, missing or contradictory name, or a value of the wrong type;
        the message has its path.
    """
    return _Decoder(file).scenario(document)


class _Decoder(Strict):
    """A decoder of one scenario."""

    def scenario(self, document: Mapping[str, Any]) -> Scenario:
        settings = Settings.__struct_fields__
        self.check_names(
            document, None, known=("source", "store", "lookups", *settings), required=("source", "lookups")
        )
        if "eviction" in document:
            self.check_choice(document["eviction"], (None, "eviction"), allowed=EVICTIONS)
        if "selection" in document:
            self.check_choice(document["selection"], (None, "selection"), allowed=SELECTIONS)
        return Scenario(
            source=self._source(document["source"], (None, "source")),
            store=self._store(document["store"], (None, "store")) if "store" in document else None,
            lookups=self._lookups(document["lookups"], (None, "lookups")),
            settings=self.convert(
                {name: document[name] for name in settings if name in document}, Settings, None
            ),
        )

    def _source(self, spec: object, place: Place) -> SourceSpec:
        if not isinstance(spec, dict) or "kind" not in spec:
            return MappingSpec(entries=self.convert(spec, dict[str, Any], place))
        kind = spec["kind"]
        self.check_choice(kind, (place, "kind"), allowed=_KINDS, hint=_KIND_HINT)
        fields = {name: value for name, value in spec.items() if name != "kind"}
        if kind == "simulated":
            return self._simulated(fields, place)
        return self.struct(fields, _STRUCTS[kind], place, also="kind")

    def _store(self, spec: object, place: Place) -> StoreSpec:
        if not isinstance(spec, dict):
            return self.convert(spec, StoreSpec, place)
        self.check_choice(spec.get("kind"), (place, "kind"), allowed=_STORE_KINDS)
        fields = {name: value for name, value in spec.items() if name != "kind"}
        return self.struct(fields, StoreSpec, place, also="kind")

    def _simulated(self, fields: dict[str, Any], place: Place) -> SimulatedSpec:
        given = [name for name in _ENTRIES if name in fields]
        self.check_names(fields, place, known=("kind", *SimulatedSpec.__struct_fields__), required=())
        if len(given) != 1:
            given_names = " and ".join(map(shown, given)) or "none"
            raise self.error(
                place, f'expected exactly one of "entries", "table" and "keys", got {given_names}'
            )
        if given == ["table"]:
            fields = {**fields, "table": self.struct(fields["table"], Table, (place, "table"))}
        elif fields[given[0]] is None:
            raise self.error((place, given[0]), f"expected {_ENTRIES[given[0]]}, got null")
        return self.convert(fields, SimulatedSpec, place)

    def _lookups(self, lookups: object, place: Place) -> Lookups:
        if isinstance(lookups, dict) and "kind" in lookups:
            self.check_choice(lookups["kind"], (place, "kind"), allowed=_LOOKUP_KINDS)
            fields = {name: value for name, value in lookups.items() if name != "kind"}
            return self.struct(fields, ZipfSpec, place, also="kind")
        if isinstance(lookups, dict):
            return self.struct(lookups, KeyFile, place)
        if not isinstance(lookups, list):
            expected = 'a list of keys, {"file": "..."} or {"kind": "zipf", ...}'
            raise self.error(place, f"expected {expected}, got {described(lookups)}")
        return self.convert(lookups, list[str | int], place)
