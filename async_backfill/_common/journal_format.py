"""Hot keys as bytes: one key a line, checked to the last bit; what a journal holds, wherever it is.

The first line says what this is, its version and the checksum of the rest; the second, in JSON, how many
keys follow, how many were left out, and the normal hit rate. Then comes a key a line, hottest first: its
heat, a tab, the key in JSON.

A key comes back as what it was: text, whole numbers, floats, ``True``, ``False``, ``None``, and tuples of
these. A key of any other type is left out, also one of a subclass such as a named tuple: it would come
back as something else. So is one that nests deeper than 100 tuples.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from bisect import bisect
from json.encoder import encode_basestring
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NoReturn

from async_backfill.contracts import Heats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_VERSION: Final = 1
_MAGIC: Final = b"async_backfill hot keys "
_FIRST_LINE: Final = re.compile(rb"version ([0-9]{1,9}) blake2b ([0-9a-f]{64})\n")
_DEEPEST: Final = 100
_SHARES: Final = 64


def encode(heats: Heats[Any]) -> bytes:
    """Return ``heats`` as the content of a journal file.

    :raises ValueError: for a hit rate that is not from 0.0 to 1.0.
    """
    # Key by key, never all in one call into C: that would hold the interpreter, and with it the event loop.
    texts = ((heat, _text_of(key)) for key, heat in heats.keys.items() if math.isfinite(heat))
    kept = [(heat, text) for heat, text in texts if text is not None]
    facts = {
        "keys": len(kept),
        "left_out": len(heats.keys) - len(kept),
        "hit_rate": _checked(heats.hit_rate),
    }
    lines = (f"{float(heat)!r}\t{text}\n" for heat, text in _hottest_first(kept))
    # Half a surrogate pair is text like others, and two halves side by side are not one letter.
    content = [line.encode("utf-8", "surrogatepass") for line in (f"{json.dumps(facts)}\n", *lines)]
    body = b"".join(content)
    return b"%sversion %d blake2b %s\n%s" % (_MAGIC, _VERSION, _checksum(body), body)


def _hottest_first(kept: list[tuple[float, str]]) -> Iterator[tuple[float, str]]:
    """Sort ``kept`` in shares, because a sort is one call into C as well."""
    bounds = sorted(heat for heat, _ in kept[:: max(1, len(kept) // _SHARES)])
    shares: list[list[tuple[float, str]]] = [[] for _ in range(len(bounds) + 1)]
    for item in kept:
        shares[bisect(bounds, item[0])].append(item)
    for share in reversed(shares):
        share.sort(key=itemgetter(0), reverse=True)
        yield from share


def _checked(hit_rate: float | None) -> float | None:
    if hit_rate is not None and not 0.0 <= hit_rate <= 1.0:
        raise ValueError(f"{hit_rate} as a hit rate")
    return hit_rate


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=32).hexdigest().encode()


def _text_of(key: object) -> str | None:
    """Return ``key`` in JSON, or ``None`` when it would not come back as what it is."""
    if type(key) is str:
        return encode_basestring(key)
    if not _comes_back(key, _DEEPEST):
        return None
    try:
        return json.dumps(key, ensure_ascii=False, allow_nan=False)
    except ValueError:  # NaN, infinity, a whole number of more digits than Python puts in text
        return None


def _comes_back(key: object, deepest: int) -> bool:
    kind = type(key)
    if kind is tuple:
        return deepest > 0 and all(_comes_back(inner, deepest - 1) for inner in key)  # type: ignore[attr-defined]
    return kind in {str, int, float, bool} or key is None


def decode(content: bytes) -> Heats[Any]:
    """Return what `encode` made ``content`` of.

    :raises ValueError: when it did not; says what is wrong.
    """
    if not content:
        raise ValueError("is empty, expected a hot-key journal")
    if not content.startswith(_MAGIC):
        raise ValueError("is no hot-key journal")
    first = _FIRST_LINE.match(content, len(_MAGIC))
    if first is None:
        raise ValueError("is damaged: its first line is not whole")
    if int(first[1]) != _VERSION:
        raise ValueError(f"has version {int(first[1])}, this release reads version {_VERSION}")
    body = content[first.end() :]
    if _checksum(body) != first[2]:
        raise ValueError("is damaged: its checksum does not match")
    try:
        return _decoded(body)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"has a line that no release wrote: {error!r:.100}") from error


def _decoded(body: bytes) -> Heats[Any]:
    facts, *lines = body.split(b"\n")
    header = json.loads(facts)
    read: Callable[[str], Any] = json.JSONDecoder(parse_constant=_refuse).decode
    keys: dict[Any, float] = {}
    if lines.pop():
        raise ValueError("the last line has no end")
    for line in lines:
        heat, _, text = line.partition(b"\t")
        key = read(text.decode("utf-8", "surrogatepass"))
        keys[_frozen(key) if type(key) is list else key] = _finite(heat)
    if len(keys) != header["keys"] or len(keys) != len(lines):
        raise ValueError(f"{len(keys)} keys in {len(lines)} lines, {header['keys']} in the header")
    return Heats(keys, _checked(header["hit_rate"]))


def _frozen(array: list[Any]) -> tuple[Any, ...]:
    return tuple(_frozen(inner) if type(inner) is list else inner for inner in array)


def _finite(text: bytes) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{number} as a heat")
    return number


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} as a key")
