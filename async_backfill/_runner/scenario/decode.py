"""Decode a plain document into a typed `Scenario`; check names, types and combinations.

The library checks the ranges of numbers itself. This module checks only what can be wrong in a scenario
file.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from async_backfill._common.written_keys import KEY_TYPES
from async_backfill._runner.logs.recogniser import FORMATS
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
from async_backfill._runner.wording import nearest, path_of, shown
from async_backfill.errors import ScenarioError
from async_backfill.policies import SELECTIONS
from async_backfill.sources._rows.tables import DUPLICATES
from async_backfill.stores._eviction.orders import EVICTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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
_CHOICES: Final[Mapping[str, Iterable[str]]] = MappingProxyType(
    {"key_type": KEY_TYPES, "format": FORMATS, "duplicates": DUPLICATES}
)
_MISMATCH: Final = re.compile(r"Expected `(?P<expected>[^`]+)`, got `(?P<got>[^`]+)`")
_STEP: Final = re.compile(r"\.(?P<name>\w+)|\[(?P<number>\d+)\]")
_WORDS: Final = MappingProxyType(
    {
        "array": "a list",
        "bool": "true or false",
        "float": "a number",
        "int": "a whole number",
        "null": "null",
        "object": "an object",
        "str": "text",
    }
)


def decode(document: Mapping[str, Any], file: str) -> Scenario:
    """Return the scenario that ``document`` describes.

    :param file: the name of the file, the start of each error message.
    :raises ScenarioError: for an unknown, missing or contradictory name, or a value of the wrong type;
        the message has its path.
    """
    return _Decoder(file).scenario(document)


class _Decoder:
    """A decoder of one document; each error message begins with the name of the file."""

    def __init__(self, file: str) -> None:
        self._file = file

    def scenario(self, document: Mapping[str, Any]) -> Scenario:
        settings = Settings.__struct_fields__
        self._check_names(
            document, None, known=("source", "store", "lookups", *settings), required=("source", "lookups")
        )
        if "eviction" in document:
            self._check_choice(document["eviction"], (None, "eviction"), allowed=EVICTIONS)
        if "selection" in document:
            self._check_choice(document["selection"], (None, "selection"), allowed=SELECTIONS)
        return Scenario(
            source=self._source(document["source"], (None, "source")),
            store=self._store(document["store"], (None, "store")) if "store" in document else None,
            lookups=self._lookups(document["lookups"], (None, "lookups")),
            settings=self._convert(
                {name: document[name] for name in settings if name in document}, Settings, None
            ),
        )

    def _source(self, spec: object, place: Place) -> SourceSpec:
        if not isinstance(spec, dict) or "kind" not in spec:
            return MappingSpec(entries=self._convert(spec, dict[str, Any], place))
        kind = spec["kind"]
        self._check_choice(kind, (place, "kind"), allowed=_KINDS, hint=_KIND_HINT)
        fields = {name: value for name, value in spec.items() if name != "kind"}
        if kind == "simulated":
            return self._simulated(fields, place)
        return self._struct(fields, _STRUCTS[kind], place, also="kind")

    def _store(self, spec: object, place: Place) -> StoreSpec:
        if not isinstance(spec, dict):
            return self._convert(spec, StoreSpec, place)
        self._check_choice(spec.get("kind"), (place, "kind"), allowed=_STORE_KINDS)
        fields = {name: value for name, value in spec.items() if name != "kind"}
        return self._struct(fields, StoreSpec, place, also="kind")

    def _simulated(self, fields: dict[str, Any], place: Place) -> SimulatedSpec:
        given = [name for name in _ENTRIES if name in fields]
        self._check_names(fields, place, known=("kind", *SimulatedSpec.__struct_fields__), required=())
        if len(given) != 1:
            given_names = " and ".join(map(shown, given)) or "none"
            raise self._error(
                place, f'expected exactly one of "entries", "table" and "keys", got {given_names}'
            )
        if given == ["table"]:
            fields = {**fields, "table": self._struct(fields["table"], Table, (place, "table"))}
        elif fields[given[0]] is None:
            raise self._error((place, given[0]), f"expected {_ENTRIES[given[0]]}, got null")
        return self._convert(fields, SimulatedSpec, place)

    def _lookups(self, lookups: object, place: Place) -> Lookups:
        if isinstance(lookups, dict) and "kind" in lookups:
            self._check_choice(lookups["kind"], (place, "kind"), allowed=_LOOKUP_KINDS)
            fields = {name: value for name, value in lookups.items() if name != "kind"}
            return self._struct(fields, ZipfSpec, place, also="kind")
        if isinstance(lookups, dict):
            return self._struct(lookups, KeyFile, place)
        if not isinstance(lookups, list):
            expected = 'a list of keys, {"file": "..."} or {"kind": "zipf", ...}'
            raise self._error(place, f"expected {expected}, got {_described(lookups)}")
        return self._convert(lookups, list[str | int], place)

    def _struct(self, fields: object, struct: type[T], place: Place, *, also: str | None = None) -> T:
        if isinstance(fields, dict):
            infos = msgspec.structs.fields(struct)  # type: ignore[arg-type]
            known = [info.encode_name for info in infos] + ([also] if also else [])
            required = [info.encode_name for info in infos if info.required]
            self._check_names(fields, place, known=known, required=required)
            for name, allowed in _CHOICES.items():
                if name in known and fields.get(name) is not None:
                    self._check_choice(fields[name], (place, name), allowed=allowed)
        return self._convert(fields, struct, place)

    def _check_names(
        self, fields: Mapping[str, Any], place: Place, *, known: Iterable[str], required: Iterable[str]
    ) -> None:
        names = list(known)
        for name in fields:
            if name not in names:
                hint = shown(nearest(name, names))
                raise self._error((place, name), f"unknown name, the nearest known one is {hint}")
        for name in required:
            if name not in fields:
                raise self._error((place, name), "is missing")

    def _check_choice(self, value: object, place: Place, *, allowed: Iterable[str], hint: str = "") -> None:
        names = list(allowed)
        if value not in names:
            raise self._error(
                place, f"{_described(value)} is not one of {', '.join(map(shown, names))}{hint}"
            )

    def _convert(self, value: object, wanted: type[T], place: Place) -> T:
        try:
            return msgspec.convert(value, wanted)
        except msgspec.ValidationError as error:
            raise self._mismatch(str(error), value, place) from error

    def _mismatch(self, message: str, value: object, place: Place) -> ScenarioError:
        """Return the error for msgspec's ``message`` about a part of ``value``, in plain words."""
        problem, _, path = message.partition(" - at `$")
        for step in _STEP.finditer(path.removesuffix("`")):
            key: str | int = step["name"] if step["number"] is None else int(step["number"])
            value = value[key]  # type: ignore[index]
            place = (place, key)
        if (mismatch := _MISMATCH.fullmatch(problem)) is not None:
            expected = " or ".join(_WORDS.get(word, word) for word in mismatch["expected"].split(" | "))
            return self._error(place, f"expected {expected}, got {_described(value)}")
        return self._error(place, f"{_described(value)}: {problem[0].lower()}{problem[1:]}")

    def _error(self, place: Place, problem: str) -> ScenarioError:
        return ScenarioError(f"{self._file}: {path_of(place)}: {problem}")


def _described(value: object) -> str:
    if isinstance(value, dict):
        return "an object"
    return "a list" if isinstance(value, list) else shown(value)
