"""Split a row into its key and its value."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, cast

from async_backfill._common.written_keys import (
    DESCRIBED,
    KEY_TYPES,
    canonical,
    key_of_value,
    key_reader,
    name_of_type,
)
from async_backfill.contracts import V
from async_backfill.errors import ConfigurationError
from async_backfill.outcomes import Failed

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

Columns: TypeAlias = dict[str, Any]


class KeyType:
    """The type of the keys in a file: text that is not empty, whole numbers, UUIDs, dates or decimals.

    :param kind: the class of the keys.
    :raises ConfigurationError: when keys of that class are not written in files.
    """

    def __init__(self, kind: type[Any]) -> None:
        name = name_of_type(kind)
        if name is None:
            known = ", ".join(known.__name__ for known in KEY_TYPES.values())
            raise ConfigurationError("key_type", f"must be one of {known}, or None, not {kind!r}")
        self._kind = kind
        self._name = name
        self._read = key_reader(name)

    @classmethod
    def given(cls, kind: type[Any] | None) -> KeyType | None:
        """Return the type ``kind``; ``None`` is decided by the first row of a file."""
        return None if kind is None else cls(kind)

    @classmethod
    def of_first(cls, key: object) -> KeyType:
        """Return the type of ``key``, that of the first row; text for what is no key."""
        return cls(str if name_of_type(type(key)) is None else type(key))

    def expected(self, key: object) -> str:
        """Return the end of an error: what a key must be, with a hint when ``key`` has another type."""
        described, other = DESCRIBED[self._name], type(key)
        hint = other is not self._kind and name_of_type(other) is not None and key != ""
        return f"{described}, or key_type={other.__name__}" if hint else described

    def digest(self, key: object) -> int | None:
        """Return the 64-bit hash of ``key``; ``None`` for a key of another type, which no row can have.

        Numbers are hashed as text too, with Python's secret per process (SipHash): the hash of an ``int`` is
        predictable, so somebody could craft a file whose rows all share one hash.
        """
        if self._kind is Decimal and isinstance(key, int):
            key = Decimal(key)
        if not isinstance(key, self._kind):
            return None
        text = canonical(key)
        return None if text is None else str.__hash__(text)

    def of_text(self, text: str) -> Hashable | None:
        """Return the key that is written as ``text``; ``None`` when the text is not a key."""
        return self._read(text)

    def of_value(self, value: object) -> Hashable | None:
        """Return the key that a typed file means by ``value``, or ``None`` when it is none."""
        return cast("Hashable | None", key_of_value(value, self._kind))


class RowValue(Generic[V]):
    """The value of a row: a dict of all columns but the key, one column, or the result of ``row``.

    :param key: the column that identifies a row.
    :param value: the column that becomes the value.
    :param row: makes the value from a dict of all columns; excludes ``value``.
    :raises ConfigurationError: when both are given, or a column has no name.
    """

    def __init__(self, key: str, *, value: str | None, row: Callable[[Columns], V] | None) -> None:
        _check_column("key", key)
        if value is not None:
            _check_column("value", value)
        if value is not None and row is not None:
            raise ConfigurationError("row", "cannot be set with value: each makes the value of a row")
        self.key = key
        self.wanted = (key,) if value is None else (key, value)
        self.takes_all = value is None
        self._value = value
        self._row = row

    def of(self, columns: Columns, place: str) -> V | Failed:
        """Return the value of a row; an error of ``row`` becomes a `Failed` with a note on the place."""
        made: Any
        if self._row is not None:
            try:
                made = self._row(dict(columns))
            except Exception as error:  # noqa: BLE001 - the user's code; it is the failure of this key
                error.add_note(f"raised by row() for {place}")
                made = Failed(error)
        elif self._value is not None:
            made = columns[self._value]
        else:
            made = {name: column for name, column in columns.items() if name != self.key}
        return cast("V | Failed", made)


def _check_column(setting: str, name: object) -> None:
    if not isinstance(name, str):
        raise ConfigurationError(setting, f"must be the name of a column, not {name!r}")
