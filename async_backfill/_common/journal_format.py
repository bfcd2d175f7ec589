"""The file format of a hot-key journal: a header with a checksum, then one key per line.

Line 1: the name of the format, its version, and the checksum of the rest. Line 2, in JSON: how many keys
follow, how many of them were cached, how many were left out, the usual hit rate and pace, and where they come
from. Then one line for each key, the cached ones before the others, each hottest first: its heat, a tab, the
key in the encoding of keys (`key_codec`), in which a backslash and a line end are escaped.

Keys are read back with their type, because a source is asked for them. Those that would come back as
something else are left out: enums, named tuples and data classes whose class was not given.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
from bisect import bisect
from itertools import chain, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, TypeVar

from async_backfill._common.bounded_hashing import fill
from async_backfill._common.key_classes import UnknownClassError
from async_backfill._common.key_codec import KeyCodec
from async_backfill._common.provenance import from_facts, to_facts
from async_backfill.contracts import Heats
from async_backfill.errors import KeyRefusedError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator

T = TypeVar("T")

_LOGGER: Final = logging.getLogger("async_backfill.journal")
_VERSION: Final = 3
_MAGIC: Final = b"async_backfill hot keys "
_FIRST_LINE: Final = re.compile(rb"version ([0-9]{1,9}) blake2b ([0-9a-f]{64})\n")
_ESCAPED: Final = re.compile(rb"\\(.)")
_COMES_BACK: Final = frozenset({str, int})  # for sure; of other keys it is tried
_SHARES: Final = 64


class JournalKeys:
    """Turns the keys of a journal into text on one line, and back; says once which are left out.

    :param key_type: the classes of keys that are no standard types.
    :raises ConfigurationError: when a class cannot be that of a key.
    """

    def __init__(self, key_type: Any) -> None:
        self._codec = KeyCodec(key_type, exact=True)
        self._has_told = False

    def text_of(self, key: Hashable) -> bytes | None:
        """Return ``key`` on one line, or ``None`` when it would not come back."""
        try:
            data = self._codec.encode(key)
        except KeyRefusedError as refusal:
            self._tell(refusal.problem)
            return None
        if type(key) not in _COMES_BACK and not self._codec.comes_back(key, data):
            self._tell(f"a {type(key).__name__} cannot be made again; say key_type={type(key).__name__}")
            return None
        return data.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")

    def key_of(self, text: bytes) -> Hashable:
        """Return the key that `text_of` made into ``text``.

        :raises UnknownClassError: when it is of a class that was not given.
        :raises ValueError: when it is damaged.
        """
        if b"\\" in text:
            text = _ESCAPED.sub(lambda found: b"\n" if found[1] == b"n" else found[1], text)
        return self._codec.decode(text)

    def _tell(self, problem: str) -> None:
        if not self._has_told:
            self._has_told = True
            _LOGGER.warning("some hot keys are not in the journal, and start cold: %s", problem)


def encode(heats: Heats[Any], keys: JournalKeys) -> bytes:
    """Return ``heats`` in the format of a journal.

    :raises ValueError: when the hit rate is not between 0.0 and 1.0, or the pace is not above 0.0.
    """
    # This runs in a worker thread. One call into C for all keys would hold the interpreter lock, and so
    # the event loop; key by key it does not.
    items = iter(heats.keys.items())
    cached = _texts(islice(items, len(heats.cached)), keys)
    kept = _texts(items, keys)
    facts = {
        "keys": len(cached) + len(kept),
        "left_out": len(heats.keys) - len(cached) - len(kept),
        "cached": len(cached),
        "hit_rate": _checked(heats.hit_rate),
        "pace": _positive(heats.pace),
        "from": to_facts(heats.provenance),
    }
    body = bytearray(f"{json.dumps(facts)}\n".encode())
    for heat, text in chain(hottest_first(cached), hottest_first(kept)):
        body += b"%b\t%b\n" % (repr(float(heat)).encode(), text)
    return b"%sversion %d blake2b %s\n%s" % (_MAGIC, _VERSION, _checksum(body), body)


def _texts(heats: Iterable[tuple[Hashable, float]], keys: JournalKeys) -> list[tuple[float, bytes]]:
    texts = ((heat, keys.text_of(key)) for key, heat in heats if math.isfinite(heat))
    return [(heat, text) for heat, text in texts if text is not None]


def hottest_first(kept: list[tuple[float, T]]) -> Iterator[tuple[float, T]]:
    """Yield ``kept``, hottest first, sorted in portions: one sort of all would be one long call into C."""
    bounds = sorted(heat for heat, _ in kept[:: max(1, len(kept) // _SHARES)])
    shares: list[list[tuple[float, T]]] = [[] for _ in range(len(bounds) + 1)]
    for item in kept:
        shares[bisect(bounds, item[0])].append(item)
    for share in reversed(shares):
        share.sort(key=itemgetter(0), reverse=True)
        yield from share


def _checked(hit_rate: float | None) -> float | None:
    if hit_rate is not None and not 0.0 <= hit_rate <= 1.0:
        raise ValueError(f"the hit rate must be between 0.0 and 1.0, not {hit_rate}")
    return hit_rate


def _positive(pace: float | None) -> float | None:
    if pace is not None and not 0.0 < pace < math.inf:
        raise ValueError(f"the lookups in a second must be more than 0, not {pace}")
    return pace


def _checksum(body: bytes | bytearray) -> bytes:
    return hashlib.blake2b(body, digest_size=32).hexdigest().encode()


NOT_A_JOURNAL: Final = "is not a hot-key journal"
"""The error for a file that something else has written."""


def decode(content: bytes, keys: JournalKeys) -> Heats[Any]:
    """Return the heats that `encode` turned into ``content``, without keys of a class that is not known.

    :raises ValueError: when ``content`` is not a journal, is damaged, or has a newer version.
    """
    if not content:
        raise ValueError("is empty, expected a hot-key journal")
    if not content.startswith(_MAGIC):
        raise ValueError(NOT_A_JOURNAL)
    first = _FIRST_LINE.match(content, len(_MAGIC))
    if first is None:
        raise ValueError("is damaged: its first line is not complete")
    if int(first[1]) != _VERSION:
        raise ValueError(f"has version {int(first[1])}, but this release reads version {_VERSION}")
    body = content[first.end() :]
    if _checksum(body) != first[2]:
        raise ValueError("is damaged: its checksum does not match")
    try:
        return _decoded(body, keys)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"has content that no release writes: {error!r:.100}") from error


def _decoded(body: bytes, form: JournalKeys) -> Heats[Any]:
    facts, *lines = body.split(b"\n")
    header = json.loads(facts)
    keys: dict[Any, float] = {}
    pairs: list[tuple[Any, float]] = []
    unknown = 0
    if lines.pop():
        raise ValueError("the last line is not complete")
    most = header["cached"]
    if not 0 <= most <= len(lines):
        raise ValueError(f"{most} keys were cached, of {len(lines)}")
    cached = 0
    for place, line in enumerate(lines):
        heat, _, text = line.partition(b"\t")
        try:
            pairs.append((form.key_of(text), _finite(heat)))
            cached += place < most
        except UnknownClassError:  # the class of the key was given to the process that wrote it
            unknown += 1
    fill(keys.update, pairs, len(body))
    if len(keys) + unknown != header["keys"] or len(keys) + unknown != len(lines):
        raise ValueError(f"{len(keys)} keys in {len(lines)} lines, but {header['keys']} in the header")
    provenance = from_facts(header["from"])
    held = {key: heat for key, heat in pairs[:cached]}  # noqa: C416 - dict() would be one long call into C
    return Heats(keys, _checked(header["hit_rate"]), provenance, _positive(header["pace"]), held or ())


def _finite(text: bytes) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"a heat must be finite, not {number}")
    return number
