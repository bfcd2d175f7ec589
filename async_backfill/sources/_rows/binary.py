"""Recognise files that are no text, and say what to do with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from async_backfill.errors import ScenarioError
from async_backfill.sources._rows.packed import packing_of

if TYPE_CHECKING:
    from async_backfill.sources._rows.rows import AnyPath

BINARY_SIZE: Final = 512
"""The number of bytes at the begin of a file that tell what it is."""

PARQUET: Final = b"PAR1"

_TABLES: Final = "write it as CSV or JSON lines"
_KINDS: Final = (
    (PARQUET, "a Parquet file", 'kind = "file" or ParquetSource reads it as a source'),
    (b"SQLite format 3\0", "a database of SQLite", 'kind = "sql" or SQLSource reads it as a source'),
    (b"PK\x03\x04", "a zip archive, as those of Excel are", "unpack it, or save the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a file of Excel", "save the sheet as CSV"),
    (b"\xff\xfe", "UTF-16 text", "use iconv -f UTF-16 -t UTF-8"),
    (b"\xfe\xff", "UTF-16 text", "use iconv -f UTF-16 -t UTF-8"),
    (b"ARROW1\0\0", "an Arrow file", "write it as Parquet"),
    (b"ORC", "an ORC file", "write it as Parquet"),
    (b"Obj\x01", "an Avro file", "write it as Parquet"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "write it as Parquet"),
    (b"\x04\x22\x4d\x18", "packed with LZ4", "unpack it with lz4 -d"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it"),
    (b"\x1f\x9d", "packed with compress", "unpack it with gzip -d"),
    (b"%PDF-", "a PDF", _TABLES),
)
_ZEROS: Final = bytes(64)


def refuse_zeros(path: AnyPath, content: bytes) -> None:
    """Refuse a run of zeros, which no text has: a device, or a hole in a file.

    :raises ScenarioError: when there is one in ``content``, a piece of the file at ``path``.
    """
    if _ZEROS in content:
        raise ScenarioError(f"{path}: is not text: it has zeros where letters were expected")


def refuse_binary(path: AnyPath, begin: bytes) -> None:
    """Refuse a file that is known to be no text.

    :param begin: its first bytes, `BINARY_SIZE` of them where it has as many, unpacked.
    :raises ScenarioError: says what it is, and what to do.
    """
    for magic, what, advice in _KINDS:
        if begin.startswith(magic) and (len(magic) > len(b"ORC") or b"\0" in begin):
            raise ScenarioError(f"{path}: is {what}, expected text: {advice}")
    if begin[257:262] == b"ustar":
        raise ScenarioError(f"{path}: is a tar archive, expected text: unpack it with tar -x")
    if (packing := packing_of(begin)) is not None:
        raise ScenarioError(f"{path}: is still packed with {packing} when unpacked, expected text")
