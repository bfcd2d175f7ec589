"""The text of an answer, in UTF-8, whatever encoding the service wrote it in."""

from __future__ import annotations

import codecs
import json
import re
from typing import Final

from async_backfill.sources.http._answers import AnswerError

_UTF_8: Final = "utf-8"
_NAME: Final = re.compile(r"[0-9A-Za-z._:-]{1,40}")
# Python knows others, too, some of which take a time that grows with the square of the length.
_KNOWN: Final = (
    *("utf-8", "utf-16", "utf-32", "ascii", "iso8859", "cp", "koi8"),
    *("gb", "big5", "shift_jis", "euc_"),
)


def utf8_json(body: bytes, charset: str | None, shown: str) -> bytes:
    """Return ``body``, which is JSON, in UTF-8 and without a byte order mark.

    What the bytes themselves say counts first: a byte order mark, or the zeros of UTF-16 and UTF-32. Then
    ``charset``, that of the ``Content-Type``; else it is UTF-8 (RFC 8259, section 8.1).

    :param shown: the URL as errors show it.
    :raises AnswerError: when ``charset`` is unknown, or the body is no text in this encoding.
    """
    seen: str = json.detect_encoding(body)
    if seen == "utf-8-sig":
        return body.removeprefix(codecs.BOM_UTF8)
    if seen == _UTF_8:
        seen = _UTF_8 if charset is None else _known(charset, shown)
        if seen in (_UTF_8, "ascii"):
            return body
    try:
        return body.decode(seen).encode(_UTF_8)
    except UnicodeError:
        raise AnswerError(f"{shown} answers with text that is not {seen}") from None


def _known(charset: str, shown: str) -> str:
    try:
        name = codecs.lookup(charset).name if _NAME.fullmatch(charset) else ""
    except LookupError:
        name = ""
    if not name.startswith(_KNOWN):
        raise AnswerError(f"{shown} answers with the charset {charset[:40]!r}, which is unknown")
    return name
