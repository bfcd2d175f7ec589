"""Split a row into its key and its value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeAlias, cast

from async_backfill.contracts import V
from async_backfill.errors import ConfigurationError
from async_backfill.outcomes import Failed

if TYPE_CHECKING:
    from collections.abc import Callable

Columns: TypeAlias = dict[str, Any]


class KeyType:
    """The type of the keys in a file: non-empty text, or whole numbers.

    :param kind: ``str`` or ``int``.
    :raises ConfigurationError: for anything else.
    """

    def __init__(self, kind: type[Any]) -> None:
        if kind is not str and kind is not int:
            raise ConfigurationError("key_type", f"must be str or int, not {kind!r}")
        self._kind = kind

    def expected(self, key: object) -> str:
        """Return the end of an error: what a key must be, with a hint when ``key`` has the other type."""
        described, other = ("text", int) if self._kind is str else ("a whole number", str)
        hint = isinstance(key, other) and not isinstance(key, bool) and key != ""
        return f"{described}, or key_type={other.__name__}" if hint else described

    def digest(self, key: object) -> int | None:
        """Return the 64-bit hash of ``key``; ``None`` for a key of another type, which no row can have.

        Numbers are hashed as text too, with Python's secret per process (SipHash): the hash of an ``int`` is
        predictable, so somebody could craft a file whose rows all share one hash.
        """
        if not isinstance(key, self._kind):
            return None
        return str.__hash__(key if self._kind is str else int.__format__(key, "x"))

    def of_text(self, text: str) -> str | int | None:
        """Return the key that is written as ``text``; ``None`` when the text is not a key."""
        if self._kind is str:
            return text or None
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 1000):
            return None
        return int(text)

    def of_value(self, value: object) -> str | int | None:
        """Return ``value`` when it is a valid key, else ``None``."""
        if not isinstance(value, self._kind) or isinstance(value, bool) or value == "":
            return None
        return cast("str | int", value)


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
