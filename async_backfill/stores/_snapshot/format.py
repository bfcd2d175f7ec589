"""The file format of a snapshot: frames, and a checksum or signature of them all.

A line with name, version and kind of seal; a frame with facts in JSON; frames of entries and of
ghosts; a last frame with the checksum of all before it, and with a signing key its signature. Each value is
in an envelope of its own besides.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from struct import Struct
from struct import error as struct_error
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, cast

import msgspec

from async_backfill._envelopes.envelope import Envelopes
from async_backfill._envelopes.signing import Signer
from async_backfill.contracts import K, V
from async_backfill.records import Provenance  # noqa: TC001 - msgspec reads the annotation
from async_backfill.stores._snapshot.keys import UNKNOWN, PackedKeys

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from async_backfill.contracts import Clock
    from async_backfill.stores.snapshot_file import SnapshotFile

ENTRIES: Final = b"E"
GHOSTS: Final = b"G"

_VERSION: Final = 1
_MAGIC: Final = b"async_backfill snapshot "
_FIRST_LINE: Final = re.compile(rb"version ([0-9]{1,9}) (plain|signed)\n")
_FACTS: Final = b"H"
_END: Final = b"Z"
_LENGTH: Final = Struct(">I")
_DIGEST: Final = 32


class Entry(NamedTuple, Generic[K, V]):
    """One entry: until when it is fresh in seconds since the epoch, and its place in the eviction order."""

    key: K
    value: V
    until: float | None
    queue: int
    hits: int


class Facts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a snapshot comes from; ``log`` is the name of its log, ``order`` that of its eviction order."""

    provenance: Provenance
    version: str
    namespace: str
    order: str
    entries: int
    log: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The verified content of a snapshot; its frames are decoded one by one."""

    facts: Facts
    entries: Sequence[memoryview]
    ghosts: Sequence[memoryview]


class SnapshotCodec(Generic[K, V]):
    """Encodes and decodes the parts of a snapshot; counts what it cannot use."""

    def __init__(self, file: SnapshotFile[K, V], keys: PackedKeys[K], wall_clock: Clock) -> None:
        self._keys = keys
        self._envelopes: Envelopes[V] = Envelopes(
            file.value_type,
            codec=file.codec,
            max_bytes=file.max_value_bytes,
            signing_key=file.signing_key,
            compression=file.compression,
            wall_clock=wall_clock,
        )
        self._prefix = file.namespace.encode("utf-8", "surrogatepass") + b"\0"
        self._signer = Signer(file.signing_key, b"snapshot", self._prefix)
        self._columns = msgspec.msgpack.Decoder(
            tuple[list[bytes], list[float | None], list[int], list[int], list[bytes]]
        )
        self._pack = msgspec.msgpack.Encoder().encode

    @property
    def unkept(self) -> int:
        """How many values could not be encoded so far."""
        return self._envelopes.unkept.total()

    @property
    def rejected(self) -> str:
        """What of the envelopes read so far could not be used, in words; empty when all could."""
        return ", ".join(f"{count} {reason}" for reason, count in self._envelopes.rejected.items())

    def start(self, facts: Facts) -> bytes:
        """Return the beginning of a snapshot."""
        seal = b"signed" if self._signer else b"plain"
        return b"%sversion %d %s\n" % (_MAGIC, _VERSION, seal) + _frame(_FACTS, msgspec.json.encode(facts))

    def entries(self, entries: Sequence[Entry[K, V]], taken_at: float) -> tuple[bytes, int]:
        """Return a frame of ``entries``, and how many of them it holds."""
        packed = [self._keys.one(entry.key) for entry in entries]
        names = [self._prefix + (key or b"") for key in packed]
        sealed = self._envelopes.seal_many(names, [entry.value for entry in entries], taken_at)
        rows = [
            (key, entry.until, entry.queue, entry.hits, envelope)
            for key, entry, envelope in zip(packed, entries, sealed, strict=True)
            if key is not None and envelope is not None
        ]
        return _frame(ENTRIES, self._pack(list(zip(*rows, strict=True)) or [[]] * 5)), len(rows)

    def ghosts(self, keys: Sequence[K]) -> bytes:
        """Return a frame of keys that were evicted lately."""
        return _frame(GHOSTS, self._keys.many(keys))

    def end(self, digest: bytes) -> bytes:
        """Return the end of a snapshot; ``digest`` is the BLAKE2b of all before it."""
        return _frame(_END, digest + self._signer.of(digest))

    def opened(self, content: bytes) -> Found:
        """Return what is in ``content``, once its checksum or signature was verified.

        :raises ValueError: in one line, when it is no snapshot, is damaged, or has another version.
        """
        if not content.startswith(_MAGIC):
            raise ValueError("is no snapshot")
        first = _FIRST_LINE.match(content, len(_MAGIC))
        if first is None:
            raise ValueError("is damaged: its first line is not complete")
        if int(first[1]) != _VERSION:
            raise ValueError(f"has version {int(first[1])}, but this release reads version {_VERSION}")
        if (first[2] == b"signed") is not bool(self._signer):
            raise ValueError("is not signed" if self._signer else "is signed, and there is no signing_key")
        end = _DIGEST + len(self._signer.of(b""))
        body_to = len(content) - _LENGTH.size - 1 - end
        if body_to < first.end():
            raise ValueError("is damaged: it is cut off")
        view = memoryview(content)
        digest = digest_of(view[:body_to])
        if content[body_to:] != self.end(digest.digest()):
            raise ValueError("is damaged: its checksum or signature does not match")
        try:
            (_, facts), *frames = _frames(view[first.end() : body_to])
            return Found(
                facts=msgspec.json.decode(facts, type=Facts),
                entries=[payload for kind, payload in frames if kind == ENTRIES],
                ghosts=[payload for kind, payload in frames if kind == GHOSTS],
            )
        except (ValueError, struct_error) as error:
            raise ValueError(f"has content that no release writes: {error!s:.100}") from error

    def entries_of(self, payload: memoryview) -> list[Entry[K, V]]:
        """Return the entries of a frame, without those that cannot be used; `ValueError` for a wrong one."""
        packed, untils, queues, hits, envelopes = self._columns.decode(payload)
        copies = self._envelopes.open_many([self._prefix + key for key in packed], envelopes)
        return [
            Entry(cast("K", key), copy.value, until, queue, hit)
            for key, until, queue, hit, copy in zip(
                map(self._keys.key, packed), untils, queues, hits, copies, strict=True
            )
            if copy is not None and key is not UNKNOWN
        ]

    def keys_of(self, payload: memoryview) -> list[K]:
        """Return the keys of a frame of ghosts; `ValueError` for a wrong one."""
        return self._keys.keys(payload)


def digest_of(content: bytes | memoryview = b"") -> hashlib.blake2b:
    """Return the running checksum of ``content``."""
    return hashlib.blake2b(content, digest_size=_DIGEST)


def _frame(kind: bytes, payload: bytes) -> bytes:
    return _LENGTH.pack(len(payload)) + kind + payload


def _frames(view: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    at = 0
    while at < len(view):
        (length,) = _LENGTH.unpack_from(view, at)
        begin = at + _LENGTH.size + 1
        yield bytes(view[begin - 1 : begin]), view[begin : begin + length]
        at = begin + length
