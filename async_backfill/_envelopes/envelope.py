"""Wire format of a value: a header with key, time and codec, a checksum or signature, and the encoded value.

::

    magic 1 | format 1 | flags 1 | seal 4 or 32 | key 4 | time 8 | version 0 or 8 | codec 1 + x | payload

The seal is a CRC-32 of all the rest, or with a signing key an HMAC-SHA256 of that and of the Redis key:
the CRC-32 protects against accidents, the signature against people (decision 40 in notes.md). Nothing is
decoded before the seal is verified, nor what another codec wrote, told by its name and version.
"""

from __future__ import annotations

import hmac
import time
from collections import Counter
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, Generic
from zlib import crc32

from async_backfill._common.validation import whole
from async_backfill._envelopes.signing import SIGNATURE, keyed
from async_backfill._envelopes.tombstone import is_tombstone
from async_backfill._envelopes.values.choice import choose_codec, codec_label
from async_backfill._envelopes.values.notices import Notices, Refusals
from async_backfill._envelopes.versions import SIZE, VERSIONED, VersionPlace, packed_version
from async_backfill.contracts import FarCopy, V

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from async_backfill.contracts import Compression, ValueCodec

MAGIC: Final = b"\xbf"  # not a letter: the markers of leases begin with one
VERSION: Final = 2
LEASE: Final = b"L"
"""The first byte of a lease's marker; after the marker stands the outdated value, if there is one."""
MARKER: Final = 30
"""The length of a lease's marker in bytes: its first one, the token, and the time of its end."""

_SIGNED: Final = 1
_COMPRESSED: Final = 2
_START: Final = MAGIC + bytes([VERSION])
_STARTS: Final = tuple(_START + bytes([flags]) for flags in range(8))
_SEAL_AT: Final = len(_START) + 1
_HEADER: Final = Struct(">Id")  # CRC-32 of the Redis key, time
_CRC: Final = Struct(">I")


class Sealed:
    """The envelope of a value whose read began at ``read_at``, or now; it is kept as it is in its place."""

    __slots__ = ("envelope", "read_at")

    def __init__(self, envelope: bytes, read_at: float | None = None) -> None:
        self.envelope = envelope
        self.read_at = read_at

    def __len__(self) -> int:
        return len(self.envelope)


class Envelopes(Generic[V]):
    """An encoder and decoder of envelopes, which counts the ones it cannot use.

    :param value_type: the type of a decoded value, any type that msgspec supports; ``Any`` keeps the types
        that `PlainCodec` takes.
    :param codec: makes bytes of values and values of bytes, in place of ``value_type``.
    :param max_bytes: the largest size of an envelope, and of its decompressed payload; 1 or more.
    :param signing_key: a secret of 16 bytes or more, the same in all processes; envelopes without its
        signature are not used. Without it, anybody who can write to the server can forge values, though
        nothing else.
    :param compression: the compression method; without it a compressed envelope cannot be used.
    :param version_of: returns the version of a value; ``None`` for values without one. Both are used.
    :param wall_clock: a function that returns seconds since the epoch.
    :raises ConfigurationError: when a setting is not allowed.
    """

    def __init__(
        self,
        value_type: type[V] | Any = Any,
        *,
        codec: ValueCodec[V] | None = None,
        max_bytes: int = 1_000_000,
        signing_key: bytes | None = None,
        compression: Compression | None = None,
        version_of: Callable[[V], int] | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        chosen = choose_codec(value_type, codec, is_signed=signing_key is not None)
        self._encode, self._decode = chosen.encode, chosen.decode
        self._codec = codec_label(chosen)
        self._refusals = Refusals(Notices())
        self.max_bytes = whole("max_value_bytes", max_bytes, least=1)
        self._signature = keyed(signing_key)
        self._compression = compression
        self.version_of = version_of
        self.now = wall_clock
        self.rejected: Counter[str] = Counter()
        """The number of envelopes that could not be used, by reason."""
        self.unkept: Counter[str] = self._refusals.counts
        """The number of values that could not be encoded or were too large, by reason."""

    def seal_many(
        self, keys: Iterable[bytes], values: Iterable[V | Sealed], read_at: float | None = None
    ) -> list[bytes | None]:
        """Return envelopes of ``values`` for the Redis ``keys``; ``None`` where none fits.

        A value that is sealed already stays as it is. One that is refused spoils no other.

        :param read_at: when the read of the values began, in seconds since the epoch; ``None`` is now.
        """
        now = self.now() if read_at is None else read_at
        plain = self._signature is None and self._compression is None
        encode, most, head, pack, crc = self._encode, self.max_bytes, self._codec, _HEADER.pack, crc32
        version_of = self.version_of
        start = _STARTS[0 if version_of is None else VERSIONED]
        seed = crc(start)
        most -= len(start) + _CRC.size + _HEADER.size + len(head) + (0 if version_of is None else SIZE)
        sealed: list[bytes | None] = []
        for key, value in zip(keys, values, strict=True):
            if type(value) is Sealed:
                sealed.append(value.envelope)
                continue
            try:
                payload = _bytes(encode(value))
                if version_of is not None:
                    head = packed_version(version_of, value) + self._codec
            except Exception as error:  # noqa: BLE001 - whatever a codec raises concerns this value only
                self._refusals.unencodable(value, error)
                sealed.append(None)
                continue
            if not plain:
                sealed.append(self._seal(key, value, payload, pack(crc(key), now) + head))
            elif len(payload) > most:
                self._refusals.too_large(value, len(payload), self.max_bytes)
                sealed.append(None)
            else:
                rest = pack(crc(key), now) + head + payload
                sealed.append(start + _CRC.pack(crc(rest, seed)) + rest)
        return sealed

    def open_many(self, keys: Iterable[bytes], found: Iterable[object]) -> list[FarCopy[V] | None]:
        """Return the copies in the replies ``found`` for ``keys``; ``None`` for a missing or unusable one."""
        now = self.now()
        return [
            self._open(key, data, now) if isinstance(data, bytes) else None
            for key, data in zip(keys, found, strict=True)
        ]

    def signature_of(self, key: bytes, news: bytes) -> bytes:
        """Return the signature of ``news`` of the Redis ``key``; empty without a signing key."""
        if self._signature is None:
            return b""
        signature = self._signature.copy()
        signature.update(b"!" + _CRC.pack(len(key)) + key + news)
        return signature.digest()

    @property
    def version_place(self) -> VersionPlace | None:
        """Where these envelopes have a version, if values have one."""
        if self.version_of is None:
            return None
        first, seal = (0, _CRC.size) if self._signature is None else (_SIGNED, SIGNATURE)
        starts = _STARTS[first | VERSIONED], _STARTS[first | VERSIONED | _COMPRESSED]
        return VersionPlace(starts, len(_START) + 1 + seal + _HEADER.size)

    def _seal(self, key: bytes, value: object, payload: bytes, header: bytes) -> bytes | None:
        flags = 0 if self._signature is None else _SIGNED
        if self.version_of is not None:
            flags |= VERSIONED
        size = len(payload)
        fits = size <= self.max_bytes  # a larger one would be refused when it is decompressed
        if fits and self._compression is not None and size > self._compression.above:
            smaller = self._compression.compress(payload)
            if len(smaller) < size:
                payload, flags = smaller, flags | _COMPRESSED
        rest = header + payload
        envelope = _STARTS[flags] + self._make_seal(key, flags, rest) + rest
        if fits and len(envelope) <= self.max_bytes:
            return envelope
        self._refusals.too_large(value, size, self.max_bytes)
        return None

    def _open(self, key: bytes, data: bytes, now: float) -> FarCopy[V] | None:
        if data.startswith(LEASE):
            data = data[MARKER:]
            if not data:
                return None
        elif is_tombstone(data):
            return None
        try:
            payload, loaded = self._unseal(key, data)
            value = self._decode(payload)
        except _RejectedError as rejected:
            self.rejected[rejected.reason] += 1
        except Exception:  # noqa: BLE001 - whatever a codec raises concerns this copy only
            self.rejected["wrong_type"] += 1
        else:
            return FarCopy(value, max(0.0, now - loaded))
        return None

    def _unseal(self, key: bytes, data: bytes) -> tuple[bytes, float]:
        """Return payload and load time of a verified envelope of ``key``."""
        if len(data) > self.max_bytes:
            raise _RejectedError("too_large")
        if not data.startswith(_START):
            raise _RejectedError(
                "newer_version" if data[:1] == MAGIC and data[1:2] > _START[1:] else "not_ours"
            )
        signed = self._signature is not None
        rest_at = _SEAL_AT + (SIGNATURE if signed else _CRC.size)
        if len(data) <= rest_at + _HEADER.size or data[_SEAL_AT - 1] >= len(_STARTS):
            raise _RejectedError("damaged")
        flags, rest = data[_SEAL_AT - 1], data[rest_at:]
        if signed is not bool(flags & _SIGNED):
            raise _RejectedError("unsigned" if signed else "signed")
        if not hmac.compare_digest(data[_SEAL_AT:rest_at], self._make_seal(key, flags, rest)):
            raise _RejectedError("badly_signed" if signed else "damaged")
        of_key, loaded = _HEADER.unpack_from(rest)
        if of_key != crc32(key):
            raise _RejectedError("other_key")
        codec_at = _HEADER.size + (SIZE if flags & VERSIONED else 0)
        if not rest.startswith(self._codec, codec_at):
            raise self._other_codec(rest[codec_at:])
        payload = rest[codec_at + len(self._codec) :]
        return (self._decompress(payload) if flags & _COMPRESSED else payload), loaded

    def _other_codec(self, rest: bytes) -> _RejectedError:
        self._refusals.other_codec(rest[1:][: rest[0]] if rest else b"", self._codec[1:])
        return _RejectedError("other_codec")

    def _decompress(self, payload: bytes) -> bytes:
        if self._compression is None:
            raise _RejectedError("compressed")
        try:
            return self._compression.decompress(payload, self.max_bytes)
        except ValueError as error:
            raise _RejectedError("damaged") from error

    def _make_seal(self, key: bytes, flags: int, rest: bytes) -> bytes:
        if self._signature is None:
            return _CRC.pack(crc32(rest, crc32(_STARTS[flags])))
        signature = self._signature.copy()
        signature.update(_STARTS[flags] + _CRC.pack(len(key)) + key)
        signature.update(rest)
        return signature.digest()


class _RejectedError(Exception):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _bytes(payload: object) -> bytes:
    if type(payload) is not bytes:
        raise TypeError(f"the codec made a {type(payload).__name__} of it, not bytes")
    return payload
