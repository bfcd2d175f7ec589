"""A long sequence of keys of which many are equal: each once, and a number for each lookup."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator


class CodedKeys(Sequence[Any]):
    """The ``keys`` that ``codes`` name, by their places: four bytes a lookup.

    :param keys: each key once.
    """

    def __init__(self, keys: Sequence[Any], codes: array[int]) -> None:
        self.keys = keys
        self.codes = codes

    def __len__(self) -> int:
        return len(self.codes)

    def __iter__(self) -> Iterator[Any]:
        return map(self.keys.__getitem__, self.codes)

    @overload
    def __getitem__(self, place: int) -> Any: ...

    @overload
    def __getitem__(self, place: slice) -> CodedKeys: ...

    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            return CodedKeys(self.keys, self.codes[place])
        return self.keys[self.codes[place]]


class KeyCoder:
    """Takes keys one after another; `coded` are those taken so far."""

    def __init__(self) -> None:
        self._codes: dict[Hashable, int] = _Codes()
        self._taken = array("I")

    def __len__(self) -> int:
        return len(self._taken)

    def take(self, keys: Iterable[Hashable]) -> None:
        """Take ``keys`` after the others."""
        self._taken.extend(map(self._codes.__getitem__, keys))

    def coded(self) -> CodedKeys:
        """Return the keys."""
        return CodedKeys(list(self._codes), self._taken)


class _Codes(dict[Any, int]):
    def __missing__(self, key: Any) -> int:
        code = self[key] = len(self)
        return code
