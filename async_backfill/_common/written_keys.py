"""Types of keys that are written as text in files, scenarios and logs, and read back from it."""

from __future__ import annotations

import math
import re
from datetime import date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

KeyTypeName: TypeAlias = Literal["str", "int", "uuid", "date", "decimal"]

KEY_TYPES: Final[Mapping[KeyTypeName, type[Any]]] = MappingProxyType(
    {"str": str, "int": int, "uuid": UUID, "date": date, "decimal": Decimal}
)
"""The class of each type of keys."""

DESCRIBED: Final[Mapping[KeyTypeName, str]] = MappingProxyType(
    {
        "str": "text",
        "int": "a whole number",
        "uuid": "a UUID",
        "date": "a date such as 2026-03-01",
        "decimal": "a decimal number",
    }
)
"""What a key of each type is, in words."""

_LONGEST: Final = 1000
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,1000}")
_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|[0-9A-Fa-f]{32}")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DECIMAL: Final = re.compile(r"[+-]?[0-9]{1,1000}(?:\.[0-9]{1,1000})?(?:[eE][+-]?[0-9]{1,4})?")


def name_of_type(kind: type[Any]) -> KeyTypeName | None:
    """Return the name of the type of keys whose class is ``kind``, or ``None``."""
    return next((name for name, known in KEY_TYPES.items() if known is kind), None)


def key_reader(name: KeyTypeName) -> Callable[[str], Hashable | None]:
    """Return a function that makes a key of a text, or ``None`` of a text that is no key of that type."""
    return _READERS[name]


def key_of_value(value: object, kind: type[Any]) -> Any:
    """Return the key of class ``kind`` that a typed file means by ``value``, or ``None`` when it is none.

    A file may have no such type of its own: JSON writes a UUID as text, and a decimal as a number.
    """
    if kind is Decimal and isinstance(value, float) and math.isfinite(value):
        return Decimal(repr(value))
    if kind is Decimal and type(value) is int:
        return Decimal(value)
    if isinstance(value, str) and kind is not str and kind is not int:
        name = name_of_type(kind)
        return None if name is None else _READERS[name](value)
    if not isinstance(value, kind) or isinstance(value, (bool, datetime)) or value == "":
        return None
    return None if kind is Decimal and not value.is_finite() else value


def canonical(key: object) -> str | None:
    """Return a text that is the same for equal keys, or ``None`` for a key of a type that is not written."""
    if isinstance(key, str):
        return key
    if isinstance(key, int):
        return int.__format__(key, "x")
    if isinstance(key, Decimal):
        return _of_decimal(key)
    if isinstance(key, (UUID, date)) and not isinstance(key, datetime):
        return str(key)
    return None


def _of_decimal(key: Decimal) -> str | None:
    sign, digits, exponent = key.as_tuple()
    if not isinstance(exponent, int):  # infinity, or no number
        return None
    shown = "".join(map(str, digits)).lstrip("0")
    kept = shown.rstrip("0")
    if not kept:
        return "0"
    return f"{'-' * sign}{kept}e{exponent + len(shown) - len(kept)}"


def _integer(text: str) -> int | None:
    return int(text) if _INTEGER.fullmatch(text) else None


def _uuid(text: str) -> UUID | None:
    return UUID(text) if _UUID.fullmatch(text) else None


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:  # such as the 31st of February
        return None


def _decimal(text: str) -> Decimal | None:
    return Decimal(text) if len(text) <= _LONGEST and _DECIMAL.fullmatch(text) else None


def _text(text: str) -> str | None:
    return text or None


_READERS: Final[Mapping[KeyTypeName, Callable[[str], Any]]] = MappingProxyType(
    {"str": _text, "int": _integer, "uuid": _uuid, "date": _date, "decimal": _decimal}
)
