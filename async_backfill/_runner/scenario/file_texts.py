"""Read a text file as blocks of whole lines, which need little memory at any size."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from async_backfill._runner.logs.blocks import LineBlocks
from async_backfill.errors import ScenarioError
from async_backfill.sources._rows.binary import refuse_zeros
from async_backfill.sources._rows.reading import pieces_of
from async_backfill.sources._rows.tables import check_unpacked

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable
    from pathlib import Path


async def texts_of(path: Path) -> AsyncGenerator[str, None]:
    """Yield the text of the file at ``path``, unpacked when it is packed, each time some whole lines.

    The last line end of each block is left out, and a byte order mark.

    :raises ScenarioError: as `async_backfill.sources._rows.tables.read_text`, and for a line of over 1 MiB.
    """
    blocks = LineBlocks(str(path))
    decoder = _Decoder(path)
    async with aclosing(pieces_of(path)) as pieces:
        async for piece in pieces:
            for text in decoder.decoded(blocks.feed(piece)):
                yield text
                if blocks.are_unpacked:
                    check_unpacked(path, decoder.size)
    for text in decoder.decoded(blocks.finish()):
        yield text
    if blocks.are_unpacked:
        check_unpacked(path, decoder.size - 1)  # the last line may have no end


class _Decoder:
    """Decodes blocks of lines; ``size`` is the number of bytes of those before."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = 0
        self.size = 0

    def decoded(self, blocks: Iterable[bytes]) -> Iterable[str]:
        for block in blocks:
            refuse_zeros(self._path, block)
            try:
                text = block.decode()
            except UnicodeDecodeError as error:
                line = self._lines + block.count(b"\n", 0, error.start) + 1
                place, wrong = self.size + error.start, block[error.start]
                raise ScenarioError(
                    f"{self._path}:{line}: not UTF-8 text: byte {place} is 0x{wrong:02x}"
                ) from error
            self._lines += block.count(b"\n") + 1
            self.size += len(block) + 1
            yield text
