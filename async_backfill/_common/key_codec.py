"""The one encoding of keys, in the far tier (L2), leases, messages and journals.

Keys that are ``==`` with the same hash have one form, others never have. The first byte says what a key is;
text stays readable after a colon. A key of several parts has the length of each before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from async_backfill._common.key_classes import GIVE, KeyClasses, UnknownClassError, base_of
from async_backfill._common.key_decoder import DEEPEST, KeyDecoder
from async_backfill._common.key_scalars import ENCODERS, EXACT_ENCODERS, SHORT, RefusalError, text
from async_backfill._common.key_types import Shape, equal_shape, name_of, shape_of
from async_backfill._common.other_keys import shown
from async_backfill._common.typed_key import TypedKey
from async_backfill.errors import KeyRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from async_backfill.contracts import KeyType

    Encoder = Callable[[Any, int], bytes]

_TOO_DEEP: Final = f"it is nested more than {DEEPEST} deep"


class KeyCodec:
    """Encodes keys as bytes, and decodes them.

    :param key_type: classes of keys that come back as themselves: a class, a type annotation, a `KeyType`,
        or a tuple of these. Needed for enums, data classes and named tuples, where keys are decoded.
    :param exact: whether a key comes back with the type it had, as in a journal. Then equal keys of
        different types differ, and enums, named tuples and data classes that were not given are refused.
    :raises ConfigurationError: when a class cannot be that of a key.
    """

    def __init__(self, key_type: Any = Any, *, exact: bool = False) -> None:
        self._exact = exact
        self._encoders: dict[type, Encoder] = {
            kind: _plain(encode)
            for kind, encode in (({**ENCODERS, **EXACT_ENCODERS}) if exact else ENCODERS).items()
        }
        self._encoders[tuple] = lambda key, depth: b"(" + self._join(tuple.__iter__(key), depth)
        self._encoders[frozenset] = self._set
        self._encoders[TypedKey] = self._typed
        self._classes = KeyClasses(key_type)
        self._decoder = KeyDecoder(self._classes)
        self._found: WeakKeyDictionary[type, Encoder] = WeakKeyDictionary()
        # Equal keys of one type must have one form.
        self._equal = KeyCodec(key_type) if exact else self

    def encode(self, key: Hashable) -> bytes:
        """Return ``key`` as bytes.

        :raises KeyRefusedError: when it cannot be told apart from other keys, or not come back.
        """
        try:
            return self._encode(key, DEEPEST)
        except Exception as error:
            kind = type(key).__name__
            why = str(error) if isinstance(error, RefusalError) else f"{type(error).__name__}: {error}"
            problem = f"{shown(key)}: a key of type {kind} cannot leave this process: {why}"
            raise KeyRefusedError("key", problem, keys=(key,)) from error

    def decode(self, data: bytes) -> Hashable:
        """Return the key that `encode` made into ``data``, or one that is equal.

        :raises UnknownClassError: when it is of a class that was not given.
        :raises ValueError: when it is damaged.
        """
        try:
            return self._decoder.decode(data, DEEPEST)
        except UnknownClassError:
            raise
        except Exception as error:
            raise ValueError(f"not a key: {type(error).__name__}: {error}"[:200]) from error

    def comes_back(self, key: Hashable, data: bytes) -> bool:
        """Return whether ``data`` is decoded to a key that is equal to ``key``."""
        try:
            return bool(self.decode(data) == key)
        except ValueError:
            return False

    def _encode(self, key: Hashable, depth: int) -> bytes:
        if depth < 0:
            raise RefusalError(_TOO_DEEP)
        kind = type(key)
        encode = self._encoders.get(kind) or self._found.get(kind)
        if encode is None:
            try:
                encode = self._find(kind)
            except RefusalError as error:
                encode = _refused(str(error))
            self._found[kind] = encode
        return encode(key, depth)

    def _find(self, kind: type) -> Encoder:
        """Return the encoder for a class that is met for the first time."""
        if (own := self._classes.types.get(kind)) is not None:
            return self._by_type(own)
        shape = self._classes.shapes.get(kind) or shape_of(kind)
        base = base_of(kind)
        if shape is None and base is None:
            if kind.__module__.partition(".")[0] == "numpy":
                return self._scalar
            raise RefusalError("it is not known when two such keys are equal; say key_type=KeyType(...)")
        if self._exact and kind not in self._classes.shapes and (shape or equal_shape(kind)) is not None:
            raise RefusalError(GIVE.format(kind.__name__))
        if shape is not None and (base is None or self._exact):
            return self._by_shape(shape)
        return self._encoders[base or tuple]

    def _join(self, parts: Iterable[Any], depth: int) -> bytes:
        if depth <= 0:
            raise RefusalError(_TOO_DEEP)
        encode, below = self._encode, depth - 1
        joined = bytearray()
        for part in parts:  # text and short numbers as their encoders do it, for speed
            kind = type(part)
            if kind is str and part.isascii():
                joined += f"{len(part) + 1}::{part}".encode()
            elif kind is int and -1 < part < SHORT:
                form = b"#%d" % part
                joined += b"%d:%b" % (len(form), form)
            else:
                form = encode(part, below)
                joined += b"%d:%b" % (len(form), form)
        return bytes(joined)

    def _set(self, key: frozenset[Any], depth: int) -> bytes:
        parts = [self._encode(part, depth - 1) for part in frozenset.__iter__(key)]
        return b"{" + _joined(sorted(parts))

    def _by_shape(self, shape: Shape) -> Encoder:
        start = b"@" + _joined([shape.name.encode("utf-8", "surrogatepass")])
        return lambda key, depth: start + self._join(shape.parts(key), depth)

    def _by_type(self, kind: KeyType[Any]) -> Encoder:
        start = b"&" + _joined([kind.name.encode("utf-8", "surrogatepass")])
        return lambda key, depth: start + self._join((kind.encode(key),), depth)

    def _typed(self, key: TypedKey[Any], depth: int) -> bytes:
        kind = type(key.key)
        name = kind.__name__ if kind in ENCODERS else name_of(kind)
        return b"T" + _joined([text(name), self._equal._encode(key.key, depth - 1)])  # noqa: SLF001 - a codec

    def _scalar(self, key: Any, depth: int) -> bytes:
        """Encode a number or text of numpy's as the plain one that it is equal to."""
        plain = key.item()
        if type(plain) not in ENCODERS or not (plain == key and hash(plain) == hash(key)):
            raise RefusalError("it is not equal to a plain value")
        return self._encode(plain, depth)


def _joined(parts: Iterable[bytes]) -> bytes:
    return b"".join([b"%d:%b" % (len(part), part) for part in parts])


def _plain(encode: Callable[[Any], bytes]) -> Encoder:
    return lambda key, _: encode(key)


def _refused(why: str) -> Encoder:
    def refuse(_key: Any, _depth: int) -> bytes:
        raise RefusalError(why)

    return refuse
