"""A journal of hot keys in a file: what was saved comes back, or is refused."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import JournalError
from async_backfill.backfill.journal_file import JournalFile
from async_backfill.contracts import Heats

ROOT = Path(__file__).parents[2]

plain = st.one_of(
    st.text(), st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False, allow_infinity=False)
)
keys = st.recursive(plain, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=5)
heats = st.floats(min_value=0.0, allow_nan=False, allow_infinity=False)


def save(path, keys, hit_rate=None):
    anyio.run(JournalFile(path).save, Heats(keys=keys, hit_rate=hit_rate))


def load(path):
    return anyio.run(JournalFile(path).load)


@settings(max_examples=60)
@given(keys=st.dictionaries(keys, heats, max_size=20), hit_rate=st.none() | st.floats(0.0, 1.0))
def test_what_was_saved_comes_back_as_what_it_was(tmp_path_factory, keys, hit_rate):
    path = tmp_path_factory.mktemp("journal") / "hot.journal"
    save(path, keys, hit_rate)
    found = load(path)

    assert found == Heats(keys=keys, hit_rate=hit_rate)
    assert {repr(key) for key in found.keys} == {repr(key) for key in keys}


def test_half_a_surrogate_pair_and_a_huge_number_come_back(tmp_path):
    keys = {"\ud800": 1.0, 10**400: 2.0, "line\nbreak": 3.0}
    save(tmp_path / "j", keys)
    assert load(tmp_path / "j").keys == keys


def test_the_hottest_key_comes_first(tmp_path):
    save(tmp_path / "j", {"cold": 0.1, "hot": 9.0, "warm": 3.0})
    assert list(load(tmp_path / "j").keys) == ["hot", "warm", "cold"]


def test_a_key_that_json_cannot_hold_is_left_out_and_counted(tmp_path):
    class Word(str):
        __slots__ = ()

    odd = (b"bytes", math.inf, ("a", b"b"), frozenset(), Word("w"))
    save(tmp_path / "j", {"a": 1.0, **dict.fromkeys(odd, 2.0)})

    assert load(tmp_path / "j").keys == {"a": 1.0}
    header = json.loads((tmp_path / "j").read_text().splitlines()[0])
    assert (header["keys"], header["left_out"]) == (1, 5)


def test_where_there_is_no_file_there_is_no_journal(tmp_path):
    assert load(tmp_path / "none") is None


def test_every_file_that_was_cut_off_is_refused(tmp_path):
    path = tmp_path / "j"
    save(path, {"a": 1.5, ("b", 2): 0.25}, 0.9)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(JournalError, match=r"^[^\n]*/j: not a usable journal of hot keys: [^\n]+$"):
            load(path)


def test_every_file_with_one_bit_that_flipped_is_refused(tmp_path):
    path = tmp_path / "j"
    save(path, {"a": 1.5, ("b", 2): 0.25}, 0.9)
    content = path.read_bytes()
    for place in range(len(content)):
        for bit in range(8):
            changed = bytearray(content)
            changed[place] ^= 1 << bit
            path.write_bytes(changed)
            with pytest.raises(JournalError):
                load(path)


@pytest.mark.parametrize("content", [b"", b"\n", b"{}\n", b"[1]\n", b"\x80abc", b'{"format": "other"}\n'])
def test_a_file_that_is_something_else_is_refused(tmp_path, content):
    (tmp_path / "j").write_bytes(content)
    with pytest.raises(JournalError, match="does not say that it is one"):
        load(tmp_path / "j")


def test_a_file_of_a_newer_version_is_refused_and_says_so(tmp_path):
    (tmp_path / "j").write_text('{"format": "async_backfill journal", "version": 2}\n')
    with pytest.raises(JournalError, match="its version is 2, and this program reads version 1"):
        load(tmp_path / "j")


def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "j"
    save(path, {"a": 1.0})

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save(path, {"b": 1.0})

    assert load(path).keys == {"a": 1.0}
    assert list(tmp_path.iterdir()) == [path]


CHILD = """
import sys
import anyio
from async_backfill.backfill.journal_file import JournalFile
from async_backfill.contracts import Heats

async def main():
    journal = JournalFile(sys.argv[1])
    known = await journal.load()
    number = int(known.keys["number"]) if known else 0
    while True:
        number += 1
        keys = {"number": float(number), **{f"key_{n}": 0.5 for n in range(300)}}
        await journal.save(Heats(keys=keys, hit_rate=None))
        print(number, flush=True)

anyio.run(main)
"""


def test_a_process_that_is_killed_at_any_moment_leaves_a_journal_with_all_but_the_last_save(tmp_path):
    path = tmp_path / "j"
    kills = 0
    told = 0
    while kills < 50:
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        first = int(child.stdout.readline())
        time.sleep(0.0017 * (kills % 13))  # each time another moment of a save
        child.send_signal(signal.SIGKILL)
        told = max([told, first, *map(int, child.stdout.read().split())])
        child.stdout.close()
        child.wait()
        kills += 1

        saved = load(path).keys["number"]
        assert told <= saved <= told + 1
