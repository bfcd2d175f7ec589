"""Read logs and write the journal of their hot keys."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from async_backfill._common.atomic_file import reason
from async_backfill._common.provenance import here
from async_backfill._common.validation import real, text, whole
from async_backfill._common.written_keys import DESCRIBED, key_reader
from async_backfill._runner.logs.blocks import LineBlocks
from async_backfill._runner.logs.formats import lines_of
from async_backfill._runner.logs.pieces import STANDARD_INPUT, name_of, opened, total_size
from async_backfill._runner.logs.recogniser import KeyPlace, recognise
from async_backfill._runner.output import OutputError, check_outputs
from async_backfill._runner.wording import shown
from async_backfill.backfill._history.hot_keys import HotKeys
from async_backfill.backfill.journal_file import JournalFile
from async_backfill.contracts import Heats
from async_backfill.errors import ScenarioError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

    from async_backfill._common.written_keys import KeyTypeName
    from async_backfill._runner.logs.formats import Format

_HALF_LIFE: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryJob:
    """The logs to read, their format, and the journal to write.

    ``inputs``
        the logs, oldest first, plain or packed; ``-`` is standard input.
    ``place``
        where the keys are; what it does not say is recognised by the first lines of each input.
    ``key_type``
        the type of the keys of the cache; a line whose key is none is skipped, as one without a key.
    ``size``
        the largest number of keys to remember.
    ``half_life``
        the number of lookups after which a lookup counts half; ``None`` is fifteen times ``size``.
    ``fingerprint``
        that of the cache that will read the journal; ``None`` for none.

    :raises ConfigurationError: for a value that is not allowed, or options that exclude each other; names
        the option.
    """

    inputs: Sequence[str]
    output: str
    place: KeyPlace = field(default_factory=KeyPlace)
    key_type: KeyTypeName = "str"
    size: int = 100_000
    half_life: float | None = None
    fingerprint: str | None = None

    def __post_init__(self) -> None:
        whole("size", self.size, least=1)
        if self.half_life is not None:
            real("half_life", self.half_life, least=1.0, most=math.inf)
        if self.fingerprint is not None:
            text("fingerprint", self.fingerprint)


@dataclass(slots=True)
class Reading:
    """The counts of one input: its ``lines`` that are not empty, and the ``lookups`` in them.

    ``taken_for``
        what the input was taken for, and where its keys are.
    """

    name: str
    taken_for: str = ""
    lines: int = 0
    lookups: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The result of a job: the counts of each input, and the number of ``keys`` in the journal."""

    readings: Sequence[Reading]
    keys: int


async def write_history(job: HistoryJob, progress: Callable[[int, int], None]) -> History:
    """Read the inputs of ``job`` and write its journal; nothing is written unless all inputs could be read.

    :param progress: a function that is called now and then with the bytes read and the total, 0 if unknown.
    :raises ScenarioError: when an input or the output cannot be used, or an input has no key.
    :raises OutputError: when writing fails in spite of the check before.
    """
    files = [Path(path) for path in job.inputs if path != STANDARD_INPUT]
    await check_outputs({"--to": job.output}, reads=files)
    total = await total_size(job.inputs)
    half_life = _HALF_LIFE * job.size if job.half_life is None else job.half_life
    done = 0

    def took(size: int) -> None:
        nonlocal done
        done += size
        progress(done, total)

    readings, heats = await _heats(job, half_life, took)
    try:
        journal = JournalFile(job.output)
        origin = here(time.time, fingerprint=job.fingerprint)
        await journal.save(Heats(keys=heats, hit_rate=None, provenance=origin))
        journal.close()
    except OSError as error:
        raise OutputError(f"{job.output}: cannot be written: {reason(error)}") from error
    return History(readings=readings, keys=len(heats))


async def _heats(
    job: HistoryJob, half_life: float, took: Callable[[int], None]
) -> tuple[list[Reading], Mapping[Hashable, float]]:
    """Return the counts of each input and the heats, without what found them, which is as large."""
    hot: HotKeys[Hashable] = HotKeys(job.size, half_life)
    readings = [await _read(path, job, hot.note, took) for path in job.inputs]
    return readings, hot.heats()


async def _read(
    path: str, job: HistoryJob, note: Callable[[Iterable[Hashable]], None], took: Callable[[int], None]
) -> Reading:
    log = _Log(name_of(path), job, note)
    blocks = LineBlocks(log.reading.name)
    async with opened(path) as read:
        while piece := await read():
            for block in blocks.feed(piece):
                log.take(block)
            took(len(piece))
    for block in blocks.finish():
        log.take(block)
    log.finish()
    return log.reading


class _Log:
    """One input while it is read.

    :param note: a function that is called with the keys, in order.
    """

    def __init__(self, name: str, job: HistoryJob, note: Callable[[Iterable[Hashable]], None]) -> None:
        self.reading = Reading(name)
        self._note = note
        self._place = job.place
        self._format: Format | None = None
        self._key_type: KeyTypeName = job.key_type
        self._first_line = ""

    def take(self, block: bytes) -> None:
        """Note the keys in ``block``, which is whole lines."""
        text = self._decoded(block)
        if self._format is None or not self._first_line:
            lines = lines_of(text)
            if not lines:
                return
            self._first_line = self._first_line or lines[0]
            if self._format is None:
                self._format = recognise(self.reading.name, text, self._place)
                self.reading.taken_for = self._format.description
        self._count(*self._format.keys(text))

    def finish(self) -> None:
        """Note the keys of the last lines.

        :raises ScenarioError: when no line of the input has a key.
        """
        if self._format is not None:
            self._count(*self._format.rest())
        reading = self.reading
        if not self._first_line:
            raise ScenarioError(f"{reading.name}: is empty, expected a log")
        if not reading.lookups:
            expected = self._format.expected if self._format is not None else "UTF-8 text"
            if self._key_type != "str":
                expected += f" that is {DESCRIBED[self._key_type]}"
            if self._place.filters is not None:
                expected += " that --method and --status allow"
            first = shown(self._first_line)
            raise ScenarioError(f"{reading.name}: no line is {expected}; the first is {first}")

    def _count(self, keys: Sequence[str], lines: int) -> None:
        typed = self._typed(keys)
        self._note(typed)
        self.reading.lookups += len(typed)
        self.reading.lines += lines

    def _typed(self, keys: Sequence[str]) -> Sequence[Hashable]:
        """Return those of ``keys`` that are keys of the type of the job, as such."""
        if self._key_type == "str":
            return keys
        return [key for key in map(key_reader(self._key_type), keys) if key is not None]

    def _decoded(self, block: bytes) -> str:
        """Return the text of ``block``, without lines that are not UTF-8, which still count as lines."""
        try:
            return block.decode()
        except UnicodeDecodeError:
            return "\n".join(filter(None, map(self._decoded_line, block.split(b"\n"))))

    def _decoded_line(self, line: bytes) -> str:
        try:
            return line.decode()
        except UnicodeDecodeError:
            self.reading.lines += 1
            self._first_line = self._first_line or repr(line)[2:-1]
            return ""
