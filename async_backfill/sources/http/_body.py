"""The body of an answer: unpacked piece by piece, and limited in size."""

from __future__ import annotations

import zlib
from typing import Final

from async_backfill.sources.http._answers import AnswerError, NoAnswerError

_GZIP: Final = 16 + zlib.MAX_WBITS
_HEADER: Final = 2  # bytes that tell deflate with the header of zlib from deflate alone
_BEFORE: Final = (
    b" \t\r\n\0\xef\xbb\xbf\xfe\xff"  # blanks, byte order marks, and the zeros of UTF-16 and UTF-32
)
_FIRST_OF_NUMBERS: Final = tuple(b"-0123456789"[at : at + 1] for at in range(11))


class Body:
    """A body under construction, piece by piece.

    :param most: the largest allowed size in bytes, as sent and unpacked.
    :param encoding: the ``Content-Encoding`` header; gzip is accepted (RFC 1952, also several members), and
        deflate, which was not asked for: as it should be (RFC 1950), and as some services send it (RFC 1951).
    :param shown: the URL as errors show it.
    :raises AnswerError: for another encoding.
    """

    def __init__(self, most: int, *, encoding: str, shown: str) -> None:
        packing = encoding.strip().lower()
        if packing not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise AnswerError(f"{shown} answers with the encoding {packing[:40]!r}, expected gzip")
        self._most = most
        self._shown = shown
        self._content = bytearray()
        self._came = 0
        self._unpacking = zlib.decompressobj(_GZIP) if packing.endswith("gzip") else None
        self._packing = packing
        self._header = b"" if packing == "deflate" else None

    def add(self, piece: bytes) -> None:
        """Add the next piece.

        :raises AnswerError: when the body becomes too long, or is not packed as announced.
        """
        self._came += len(piece)
        self.check_length(self._came)
        if self._header is not None:
            piece = self._header = self._header + piece
            if len(piece) < _HEADER:
                return
            self._header = None
            self._unpacking = zlib.decompressobj(zlib.MAX_WBITS if _is_zlib(piece) else -zlib.MAX_WBITS)
        if self._unpacking is None:
            self._content += piece
            return
        try:
            self._unpack(piece)
        except zlib.error as error:
            raise AnswerError(f"{self._shown} answers with damaged {self._packing}: {error}") from error

    def check_length(self, length: int) -> None:
        """Raise `AnswerError` when ``length`` bytes are more than allowed."""
        if length > self._most:
            raise AnswerError(f"{self._shown} answers with more than max_body={self._most} bytes")

    def whole(self, *, is_delimited: bool) -> bytes:
        """Return the content, after the last piece.

        :param is_delimited: whether HTTP itself detects a body that was cut off, by its length or chunks.
        :raises NoAnswerError: when the body was cut off, or may have been. Without a length, a closed
            connection is the end of the body, and a number is the only JSON that is still valid when it is
            cut off.
        """
        is_ended = not self._header if self._unpacking is None else self._unpacking.eof
        if self._came and not is_ended:
            raise NoAnswerError(f"{self._shown} answers with {self._packing} data that is cut off")
        if not is_delimited and self._content.lstrip(_BEFORE)[:1] in _FIRST_OF_NUMBERS:
            raise NoAnswerError(
                f"{self._shown} answers with a number that may be cut off: the body has no length"
            )
        return bytes(self._content)

    def _unpack(self, packed: bytes) -> None:
        while packed and self._unpacking is not None:
            if self._unpacking.eof:
                if self._packing == "deflate":
                    raise AnswerError(f"{self._shown} answers with more than its deflate data")
                self._unpacking = zlib.decompressobj(_GZIP)
            room = self._most + 1 - len(self._content)
            self._content += self._unpacking.decompress(packed, room)
            self.check_length(len(self._content))
            packed = self._unpacking.unconsumed_tail or self._unpacking.unused_data


def _is_zlib(content: bytes) -> bool:
    """Return whether ``content`` begins with the header of zlib (RFC 1950, section 2.2)."""
    return content[0] & 0x0F == zlib.DEFLATED and int.from_bytes(content[:2]) % 31 == 0
