"""A page of rows on its way to the file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, cast

from async_backfill._envelopes.envelope import Sealed
from async_backfill.contracts import K, Kept

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

_REFUSED: Final = "the key cannot be told apart from others"
_UNKEPT: Final = "the value cannot be encoded, or is too large"


@dataclass(slots=True, kw_only=True)
class Read:
    """What was read at one time: names and envelopes, and the names of what cannot be kept."""

    read_at: float
    until: float | None
    names: list[bytes] = field(default_factory=list)
    envelopes: list[bytes] = field(default_factory=list)
    unkept: list[bytes] = field(default_factory=list)


class Page(Generic[K]):
    """The rows of a page by the begin of their read: what was sealed earlier knows its own.

    :param items: all of the page.
    :param keys: those that have names.
    :param envelopes: of each name; ``None`` where the value cannot be kept.
    :param until: returns the end of what was read at a time.
    """

    def __init__(
        self,
        items: Mapping[K, Any],
        keys: Collection[K],
        names: list[bytes],
        envelopes: Sequence[bytes | None],
        read_at: float,
        until: Callable[[float], float | None],
    ) -> None:
        self._rejected: dict[K, str] = dict.fromkeys(items, _REFUSED) if len(names) < len(items) else {}
        self._keys, self._names = keys, names
        self.reads: Sequence[Read]
        is_whole = len(names) == len(items) > 0 and None not in envelopes
        if is_whole and Sealed not in set(map(type, items.values())):
            # What a copy writes, page after page: all of it was read at once, and can be kept.
            whole = cast("list[bytes]", envelopes)
            self.reads = (Read(read_at=read_at, until=until(read_at), names=names, envelopes=whole),)
            return
        reads: dict[float, Read] = {}
        for key, name, envelope in zip(keys, names, envelopes, strict=True):
            item = items[key]
            begin = item.read_at if type(item) is Sealed and item.read_at is not None else read_at
            read = reads.get(begin)
            if read is None:
                read = reads[begin] = Read(read_at=begin, until=until(begin))
            if envelope is None:
                self._rejected[key] = _UNKEPT
                read.unkept.append(name)
            else:
                self._rejected.pop(key, None)
                read.names.append(name)
                read.envelopes.append(envelope)
        self.reads = tuple(reads.values())

    def told(self, kept: int, newer: Collection[bytes]) -> Kept[K]:
        """Return what became of each key when ``kept`` were kept, and the names of ``newer`` were not."""
        names = zip(self._keys, self._names, strict=True) if newer else ()
        left = [key for key, name in names if name in newer]
        return Kept(kept=kept, newer=left, rejected=self._rejected)
