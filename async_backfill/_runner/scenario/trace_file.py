"""Read cache traces: Twitter's form, and libCacheSim's oracleGeneral."""

from __future__ import annotations

import math
import struct
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from async_backfill._runner.logs.formats import lines_of
from async_backfill._runner.scenario.coded_keys import KeyCoder
from async_backfill.errors import ScenarioError
from async_backfill.sources._rows.packed import MAGIC_SIZE, Unpacking, packing_of
from async_backfill.sources._rows.reading import MOST_READ, opened

if TYPE_CHECKING:
    from pathlib import Path

    from async_backfill._runner.logs.filters import Filters

MOST_BYTES: Final = (1 << 63) - 1
"""The largest size of an object: no disk is as large."""

BINARY_NAME: Final = "oraclegeneral"
"""What the name of a trace in libCacheSim's binary form has in it, in lower case."""

_RECORD: Final = struct.Struct("<IQIq")  # time, object, size, the number of its next request


@dataclass(slots=True, kw_only=True)
class Trace:
    """The requests of a trace; ``times`` as the trace counts them."""

    description: str
    keys: KeyCoder = field(default_factory=KeyCoder)
    times: array[float] = field(default_factory=lambda: array("d"))
    sizes: array[int] = field(default_factory=lambda: array("q"))
    ttls: array[float] = field(default_factory=lambda: array("d"))
    lines: int = 0


async def read_content(path: Path) -> bytes:
    """Return the content of a file that is no text, unpacked when it is packed.

    :raises ScenarioError: when it cannot be read or unpacked, or has more than 2 GiB.
    """
    content = bytearray()
    unpacking: Unpacking | None = None
    async with opened(path) as read:
        while piece := await read():
            if not content and unpacking is None and (packing := packing_of(piece[:MAGIC_SIZE])) is not None:
                unpacking = Unpacking(path, packing)
            for part in (piece,) if unpacking is None else unpacking.feed(piece):
                content += part
                if len(content) > MOST_READ:
                    raise ScenarioError(
                        f"{path}: has more than {MOST_READ:,} bytes, which must fit into memory"
                    )
    if unpacking is not None:
        unpacking.finish()
    return bytes(content)


def read_binary(path: Path, content: bytes) -> Trace:
    """Return the trace in ``content``, records of 24 bytes in the form oracleGeneral.

    :raises ScenarioError: when its length is not that of whole records.
    """
    if len(content) % _RECORD.size:
        raise ScenarioError(
            f"{path}: has {len(content):,} bytes, no whole number of records of {_RECORD.size}: by its name "
            "it is a trace of the form oracleGeneral"
        )
    trace = Trace(description="cache trace of the form oracleGeneral, key: the object")
    trace.keys.take(str(name) for _, name, _, _ in _RECORD.iter_unpack(content))
    for time, _, size, _ in _RECORD.iter_unpack(content):
        trace.times.append(time)
        trace.sizes.append(size)
    trace.lines = len(trace.keys)
    return trace


class SevenColumns:
    """A trace in Twitter's form; the size is that of the key and the value.

    Only a request that writes says for how long its object is good, and it holds for those that follow.
    A damaged line does not count.
    """

    def __init__(self, description: str, filters: Filters | None) -> None:
        self.trace = Trace(description=description)
        self._filters = filters
        self._good_for: dict[str, float] = {}

    def take(self, text: str) -> None:
        """Read ``text``, whole lines."""
        trace, filters, good_for = self.trace, self._filters, self._good_for
        keys: list[str] = []
        for line in lines_of(text):
            trace.lines += 1
            cells = line.rsplit(",", 5)
            time, _, key = cells[0].partition(",")
            try:
                _, key_size, value_size, _, operation, ttl = cells
                came, size, good = float(time), int(key_size) + int(value_size), float(ttl)
            except ValueError:
                continue
            if not (0.0 <= came < math.inf and 0 <= size <= MOST_BYTES and 0.0 <= good < math.inf):
                continue
            if good:
                good_for[key] = good
            if filters is None or filters.allows(operation, ""):
                keys.append(key)
                trace.times.append(came)
                trace.sizes.append(size)
                trace.ttls.append(good_for.get(key, 0.0))
        trace.keys.take(keys)

    def finish(self) -> None:
        """Nothing is held back."""
