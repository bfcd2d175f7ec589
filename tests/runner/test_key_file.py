"""A file of lookups is read in blocks: the same keys wherever a block ends, and never the whole file."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backfill._runner.logs.formats import Column
from async_backfill._runner.scenario.key_file import read_lookups
from async_backfill._runner.scenario.key_lines import LoggedKeys, PlainKeys
from async_backfill._runner.scenario.model import KeyFile
from async_backfill._runner.scenario.trace_file import SevenColumns
from async_backfill._runner.scenario.trace_table import trace_table
from async_backfill.errors import ScenarioError

PATH = Path("lookups")
TABLE = ["id,time,size", "a,0,1", '"b', 'c",1,2', "a,1,1", "d,5,9"]
TWITTER = ["100,a,b,3,97,0,set,30", "101,a,b,3,97,0,get,0", "102,c,1,9,1,get,0"]


def table():
    reader = trace_table(PATH, "\n".join(TABLE), KeyFile(file="lookups"))
    assert reader is not None
    return reader


READERS = {
    "keys": (lambda: PlainKeys(PATH), ["a", "b", "a", "c"], ["a", "b", "a", "c"]),
    "table": (lambda: LoggedKeys(PATH, Column("lookups", "id")), TABLE, ["a", "b\nc", "a", "d"]),
    "trace": (table, TABLE, ["a", "b\nc", "a", "d"]),
    "Twitter's": (lambda: SevenColumns("", None), TWITTER, ["a,b", "a,b", "c"]),
}


@pytest.mark.parametrize("kind", READERS)
@given(st.data())
def test_the_keys_are_the_same_wherever_a_block_ends(kind, data):
    reader_of, lines, keys = READERS[kind]
    reader = reader_of()
    while lines:
        size = data.draw(st.integers(1, len(lines)), "lines in the block")
        reader.take("\n".join(lines[:size]))
        lines = lines[size:]
    reader.finish()
    taken = reader.keys if isinstance(reader, PlainKeys | LoggedKeys) else reader.trace.keys
    assert list(taken.coded()) == keys


@pytest.mark.parametrize("blocks", [["a", "", "b"], ["a\n", "b"], ["a\n\nb"], ["a\r\n\r", "b"]])
def test_a_blank_line_in_between_is_refused_wherever_a_block_ends(blocks):
    *before, last = blocks
    reader = PlainKeys(PATH)
    for block in before:
        reader.take(block)
    with pytest.raises(ScenarioError, match="lookups:2: the line is blank, expected a key"):
        reader.take(last)


@pytest.mark.asyncio
async def test_a_long_file_is_not_held_in_memory(tmp_path):
    path = tmp_path / "keys"
    path.write_text("".join(f"{number % 100:040}\n" for number in range(250_000)))
    tracemalloc.start()
    try:
        found = await read_lookups(path, KeyFile(file="keys"))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found.keys) == 250_000
    assert found.keys[100] == found.keys[0] == f"{0:040}"
    assert most < path.stat().st_size / 2


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (b"a\n" * 200_000 + b"\xff\n", "200001: not UTF-8 text: byte 400000 is 0xff"),
        (b"a\n" * 200_000 + b"\0" * 64, " is not text: it has zeros where letters were expected"),
        (b"a\n" * 200_000 + b"\nb\n", "200001: the line is blank, expected a key"),
    ],
)
async def test_what_is_wrong_far_behind_is_named_with_its_line(tmp_path, content, wrong):
    path = tmp_path / "keys"
    path.write_bytes(content)
    with pytest.raises(ScenarioError) as raised:
        await read_lookups(path, KeyFile(file="keys"))
    assert str(raised.value) == f"{path}:{wrong}"
