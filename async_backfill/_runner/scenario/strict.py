"""Convert parts of a plain document into typed values; what is wrong is one line with its path."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from async_backfill._common.written_keys import KEY_TYPES
from async_backfill._runner.logs.recogniser import FORMATS
from async_backfill._runner.wording import nearest, path_of, shown
from async_backfill.errors import ScenarioError
from async_backfill.sources._rows.tables import DUPLICATES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from async_backfill._runner.wording import Place

T = TypeVar("T")

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


class Strict:
    """Takes no unknown name and no value of another type; its errors begin with ``file``."""

    def __init__(self, file: str) -> None:
        self._file = file

    def struct(self, fields: object, struct: type[T], place: Place, *, also: str | None = None) -> T:
        """Return ``fields`` as a ``struct``; ``also`` is one more known name."""
        if isinstance(fields, dict):
            infos = msgspec.structs.fields(struct)  # type: ignore[arg-type]
            known = [info.encode_name for info in infos] + ([also] if also else [])
            required = [info.encode_name for info in infos if info.required]
            self.check_names(fields, place, known=known, required=required)
            for name, allowed in _CHOICES.items():
                if name in known and fields.get(name) is not None:
                    self.check_choice(fields[name], (place, name), allowed=allowed)
        return self.convert(fields, struct, place)

    def check_names(
        self, fields: Mapping[str, Any], place: Place, *, known: Iterable[str], required: Iterable[str]
    ) -> None:
        """Raise `ScenarioError` for the first name that is unknown or missing."""
        names = list(known)
        for name in fields:
            if name not in names:
                hint = shown(nearest(name, names))
                raise self.error((place, name), f"unknown name, the nearest known one is {hint}")
        for name in required:
            if name not in fields:
                raise self.error((place, name), "is missing")

    def check_choice(self, value: object, place: Place, *, allowed: Iterable[str], hint: str = "") -> None:
        """Raise `ScenarioError` unless ``value`` is one of ``allowed``."""
        names = list(allowed)
        if value not in names:
            raise self.error(place, f"{described(value)} is not one of {', '.join(map(shown, names))}{hint}")

    def convert(self, value: object, wanted: type[T], place: Place) -> T:
        """Return ``value`` as a ``wanted``, or raise `ScenarioError`."""
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
            return self.error(place, f"expected {expected}, got {described(value)}")
        return self.error(place, f"{described(value)}: {problem[0].lower()}{problem[1:]}")

    def error(self, place: Place, problem: str) -> ScenarioError:
        """Return the error for a problem at a place of the document."""
        return ScenarioError(f"{self._file}: {path_of(place)}: {problem}")


def described(value: object) -> str:
    """Return ``value`` as an error shows it."""
    if isinstance(value, dict):
        return "an object"
    return "a list" if isinstance(value, list) else shown(value)
