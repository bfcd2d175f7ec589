"""The hot-key journal on disk: what was saved comes back, or the file is refused in one line."""

from __future__ import annotations

import enum
import math
import os
import re
import stat
import time
from collections import namedtuple
from decimal import Decimal
from typing import Any
from uuid import UUID

import anyio.lowlevel
import pytest
from anyio import create_task_group, move_on_after, sleep
from hypothesis import assume, example, given
from hypothesis import strategies as st

from async_backfill import JournalError
from async_backfill._common import journal_format
from async_backfill._common.journal_format import JournalKeys
from async_backfill.backfill.journal_file import JournalFile
from async_backfill.contracts import Heats
from async_backfill.records import Provenance

pytestmark = pytest.mark.asyncio

needs_a_user_with_limits = pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")

any_text = st.text(st.characters(exclude_categories=[]))  # also half surrogate pairs
plain = st.one_of(
    any_text,
    st.integers(),
    st.integers(min_value=10**100, max_value=10**120),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
)
any_keys = st.recursive(plain, lambda inner: st.lists(inner, max_size=4).map(tuple), max_leaves=8)
any_heats = st.builds(
    Heats,
    st.dictionaries(any_keys, st.floats(0.0, allow_nan=False, allow_infinity=False), max_size=10),
    st.none() | st.floats(0.0, 1.0),
    st.none() | st.builds(Provenance, time=st.floats(0.0, 1e12), host=st.text(), cache=st.none() | st.text()),
    st.none() | st.floats(1e-9, 1e9),
)


def encode(heats, key_type=Any):
    return journal_format.encode(heats, JournalKeys(key_type))


def decode(content, key_type=Any):
    return journal_format.decode(content, JournalKeys(key_type))


SMALL = Heats({"a": 2.5, ("b", 1): 1.0}, 0.875)


def names_in(folder):
    """Return the names of the files in ``folder``, without those of locks."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def typed(key):
    """Tell 1 from 1.0 and True, and 0.0 from -0.0, which are equal."""
    if isinstance(key, tuple):
        return type(key), [typed(inner) for inner in key]
    return type(key), hex(key) if type(key) is int else repr(key)


def described(heats):
    keys = sorted(f"{typed(key)} {heat!r}" for key, heat in heats.keys.items())
    return keys, heats.hit_rate, heats.provenance, heats.pace


@given(heats=any_heats)
@example(Heats({"\ud83d\ude42": 1.0, "🙂": 2.0, "\ud800": 3.0}, None))
@example(Heats({"a\nb\tc\r\x00\u2028\x85": 1.0, "": 0.0}, None))
@example(Heats({(): 1.0, ((),): 1.0, (None,): 1.0, None: 1.0}, None))
@example(Heats({}, None))
async def test_what_was_saved_comes_back_as_what_it_was(heats):
    assert described(decode(encode(heats))) == described(heats)


@given(heats=any_heats, share=st.floats(0.0, 1.0))
async def test_the_keys_that_were_cached_come_before_all_others_and_are_told_from_them(heats, share):
    keys = list(heats.keys)
    first = keys[: int(share * len(keys))]
    back = decode(encode(Heats(heats.keys, heats.hit_rate, cached=first)))

    assert sorted(map(str, map(typed, back.cached))) == sorted(map(str, map(typed, first)))
    assert list(back.keys)[: len(first)] == list(back.cached)
    for part in (list(back.keys)[: len(first)], list(back.keys)[len(first) :]):
        assert [back.keys[key] for key in part] == sorted((back.keys[key] for key in part), reverse=True)


async def test_it_comes_back_from_the_disk_and_a_second_save_replaces_the_first(tmp_path):
    journal = JournalFile(tmp_path / "hot.journal")
    await journal.save(Heats({"gone": 1.0}, 0.5))
    await journal.save(SMALL)

    assert await JournalFile(str(tmp_path / "hot.journal")).load() == SMALL
    assert names_in(tmp_path) == ["hot.journal"]


async def test_where_nothing_was_saved_there_is_nothing_to_load(tmp_path):
    assert await JournalFile(tmp_path / "hot.journal").load() is None
    assert await JournalFile(tmp_path / "no folder" / "hot.journal").load() is None


async def test_the_file_is_text_with_a_key_a_line_hottest_first():
    keys = {"cold": 0.25, ("hot", 1): 8.0, "warm\n\\": 1.0, object(): 2.0, 7: 0.5}

    assert encode(Heats(keys, 0.5)).decode().split("\n")[1:] == [
        '{"keys": 4, "left_out": 1, "cached": 0, "hit_rate": 0.5, "pace": null, "from": null}',
        "8.0\t(4::hot2:#1",
        "1.0\t:warm\\n\\\\",
        "0.5\t#7",
        "0.25\t:cold",
        "",
    ]


@given(heats=st.lists(st.floats(0.0, 1e9) | st.sampled_from([1.0, 2.0]), max_size=300))
async def test_of_many_keys_the_hottest_come_first_as_well(heats):
    assert list(decode(encode(Heats(dict(enumerate(heats)), None))).keys.values()) == sorted(
        heats, reverse=True
    )


Point = namedtuple("Point", "x y")  # noqa: PYI024 - what a user may have
Colour = enum.StrEnum("Colour", ["RED"])
Number = enum.IntEnum("Number", ["ONE"])


def nested(depth):
    key = "inside"
    for _ in range(depth):
        key = (key,)
    return key


@pytest.mark.parametrize(
    "key",
    [
        object(),
        math.nan,
        ("nested", math.nan),
        Point(1, 2),
        (Point(1, 2),),
        Colour.RED,
        Number.ONE,
        nested(101),
        nested(5_000),
    ],
    ids=lambda key: type(key).__name__,
)
async def test_a_key_that_would_not_come_back_is_left_out_and_disturbs_no_other(key):
    content = encode(Heats({"a": 1.0, key: 2.0}, None))

    assert decode(content).keys == {"a": 1.0}
    assert b'"keys": 1, "left_out": 1' in content


@pytest.mark.parametrize(
    "key",
    [
        *(
            b"bytes\n",
            frozenset({1, "a"}),
            math.inf,
            1 + 2j,
            10**5000,
            UUID(int=7),
            "a\\n\n\t",
            ("\n", b"\n"),
        ),
        *(Decimal("1.00"), True, 1.0, (1.0, True)),
    ],
    ids=lambda key: type(key).__name__,
)
async def test_a_key_of_any_standard_type_comes_back_with_its_type(key):
    (back,) = decode(encode(Heats({key: 2.0}, None))).keys

    assert typed(back) == typed(key)


@pytest.mark.parametrize("key", [Point(1, 2), Colour.RED, Number.ONE, ("a", Number.ONE)])
async def test_a_key_of_a_class_that_was_given_comes_back_as_itself(key):
    given = (Point, Colour, Number)
    (back,) = decode(encode(Heats({key: 2.0}, None), given), given).keys

    assert typed(back) == typed(key)


async def test_keys_of_a_class_that_is_not_known_any_more_are_left_out_of_what_is_loaded():
    content = encode(Heats({Point(1, 2): 2.0, "a": 1.0}, 0.5), Point)

    assert decode(content) == Heats({"a": 1.0}, 0.5)


async def test_that_keys_are_left_out_is_said_once_and_why(tmp_path, caplog):
    journal = JournalFile(tmp_path / "hot.journal")
    for _ in range(2):
        await journal.save(Heats({Point(1, 2): 2.0, Colour.RED: 1.0}, None))

    (line,) = caplog.messages
    assert line.startswith(
        "some hot keys are not in the journal, and start cold: Point(x=1, y=2): a key of type Point"
    )
    assert line.endswith("say key_type=Point")


async def test_a_key_of_a_hundred_nested_tuples_comes_back():
    assert decode(encode(Heats({nested(100): 1.0}, None))).keys == {nested(100): 1.0}


@pytest.mark.parametrize("heat", [math.nan, math.inf])
async def test_a_heat_that_is_no_number_is_left_out(heat):
    assert decode(encode(Heats({"a": 1.0, "b": heat, "c": 2.0}, None))).keys == {"c": 2.0, "a": 1.0}


@pytest.mark.parametrize("hit_rate", [math.nan, -0.1, 1.1])
async def test_a_hit_rate_that_is_none_is_refused_before_it_replaces_anything(tmp_path, hit_rate):
    journal = JournalFile(tmp_path / "hot.journal")
    await journal.save(SMALL)
    with pytest.raises(ValueError, match="the hit rate must be between"):
        await journal.save(Heats({}, hit_rate))

    assert await journal.load() == SMALL


async def test_every_single_flipped_bit_is_noticed():
    content = encode(SMALL)
    for place in range(len(content)):
        for bit in range(8):
            flipped = bytearray(content)
            flipped[place] ^= 1 << bit
            with pytest.raises(ValueError, match=r"is damaged|is not a hot-key journal|has version"):
                decode(bytes(flipped))


async def test_every_truncation_and_every_addition_is_noticed():
    content = encode(SMALL)
    for length in range(len(content)):
        with pytest.raises(ValueError, match=r"is empty|is damaged|is not a hot-key journal"):
            decode(content[:length])
    for added in (b"\n", b"\0", b"0.5\t:c\n", content):
        with pytest.raises(ValueError, match="is damaged"):
            decode(content + added)


@given(content=st.binary(max_size=200), keep=st.integers(0, 300))
async def test_whatever_a_file_holds_it_is_refused_with_a_value_error_and_nothing_else(content, keep):
    changed = encode(SMALL)[:keep] + b"\n" + content
    assume(changed != encode(SMALL))  # its last line end, cut off and put back
    with pytest.raises(ValueError, match=r"^(is|has) "):
        decode(changed)


def forged(body):
    """Return a file with the right checksum that no release has written."""
    import hashlib  # noqa: PLC0415 - only here

    return b"async_backfill hot keys version 3 blake2b %s\n%s" % (
        hashlib.blake2b(body, digest_size=32).hexdigest().encode(),
        body,
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]\n",
        b'{"keys": 0}\n',
        b'{"keys": 1, "hit_rate": null}\n',
        b'{"keys": 1, "hit_rate": null}\n1.0\t:a',
        b'{"keys": 2, "hit_rate": null}\n1.0\t:a\n0.5\t:a\n',
        b'{"keys": 1, "hit_rate": null}\n1.0\t:a\n',
        b'{"keys": 1, "cached": 2, "hit_rate": null, "pace": null, "from": null}\n1.0\t:a\n',
        b'{"keys": 1, "cached": -1, "hit_rate": null, "pace": null, "from": null}\n1.0\t:a\n',
        b'{"keys": 1, "cached": 0, "hit_rate": null, "pace": 0, "from": null}\n1.0\t:a\n',
        b'{"keys": 1, "cached": 0, "hit_rate": null, "pace": NaN, "from": null}\n1.0\t:a\n',
        b'{"keys": 1, "cached": 0, "hit_rate": null, "pace": null, "from": {"time": 1}}\n1.0\t:a\n',
        b'{"keys": 1, "hit_rate": 7}\n1.0\t:a\n',
        b'{"keys": 1, "hit_rate": "high"}\n1.0\t:a\n',
        b'{"keys": 1, "hit_rate": null}\nnan\t:a\n',
        b'{"keys": 1, "hit_rate": null}\n1.0\tfnan\n',
        b'{"keys": 1, "hit_rate": null}\n1.0\t[1]\n',
        b'{"keys": 1, "hit_rate": null}\n1.0\t(9:n\n',
        b'{"keys": 1, "hit_rate": null}\n1.0\t' + b"(" * 100_000 + b"\n",
        b'{"keys": 1, "hit_rate": null}\n1.0 :a\n',
        b'{"keys": 1, "hit_rate": null}\n1.0\t\xff\n',
    ],
)
async def test_a_file_with_a_right_checksum_around_nonsense_is_refused_as_well(tmp_path, body):
    path = tmp_path / "hot.journal"
    path.write_bytes(forged(body))
    with pytest.raises(JournalError) as refused:
        await JournalFile(path).load()

    assert str(refused.value).startswith(f"{path}: has content that no release writes: ")
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty, expected a hot-key journal"),
        (b"product_001\nproduct_002\n", "is not a hot-key journal"),
        (b"\x80\x04\x95pickle", "is not a hot-key journal"),
        (encode(SMALL)[:-1], "is damaged: its checksum does not match"),
        (encode(SMALL)[:40], "is damaged: its first line is not complete"),
        (
            encode(SMALL).replace(b"version 3 ", b"version 1 "),
            "has version 1, but this release reads version 3",
        ),
    ],
)
async def test_a_file_that_cannot_be_used_is_an_error_of_one_line_with_path_and_problem(
    tmp_path, content, problem
):
    path = tmp_path / "hot.journal"
    path.write_bytes(content)
    with pytest.raises(JournalError, match=f"^{re.escape(f'{path}: {problem}')}$"):
        await JournalFile(path).load()


@pytest.mark.parametrize("name", [".", "pipe", "a\0b", "x" * 300])
async def test_what_is_no_file_is_refused_in_one_line_and_never_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(JournalError, match=f"^{re.escape(str(tmp_path))}.*: "):
        await JournalFile(tmp_path / name).load()


async def test_a_save_has_ended_only_when_it_is_on_the_disk(tmp_path, monkeypatch):
    synced = []
    fsync = os.fsync

    def watch(descriptor):
        fsync(descriptor)
        found = os.fstat(descriptor)
        synced.append("folder" if stat.S_ISDIR(found.st_mode) else found.st_size)

    monkeypatch.setattr(os, "fsync", watch)
    await JournalFile(tmp_path / "hot.journal").save(SMALL)

    assert synced == [(tmp_path / "hot.journal").stat().st_size, "folder"]


async def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    journal = JournalFile(tmp_path / "hot.journal")
    await journal.save(SMALL)

    def fail(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        await journal.save(Heats({"new": 1.0}, None))

    assert await journal.load() == SMALL
    assert names_in(tmp_path) == ["hot.journal"]


@needs_a_user_with_limits
async def test_a_folder_that_may_not_be_written_leaves_the_old_file(tmp_path):
    journal = JournalFile(tmp_path / "hot.journal")
    await journal.save(SMALL)
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(PermissionError):
            await journal.save(Heats({"new": 1.0}, None))
    finally:
        tmp_path.chmod(0o755)

    assert await journal.load() == SMALL


async def test_a_cancelled_save_does_not_wait_for_the_disk_and_changes_nothing_later(tmp_path, monkeypatch):
    journal = JournalFile(tmp_path / "hot.journal")
    await journal.save(SMALL)
    gate, fsync = os.pipe(), os.fsync

    def hang(descriptor):
        os.read(gate[0], 1)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", hang)
    with move_on_after(0.1) as scope:
        await journal.save(Heats({"late": 1.0}, None))
    assert scope.cancelled_caught
    monkeypatch.setattr(os, "fsync", fsync)
    newer = Heats({"newer": 1.0}, None)
    await journal.save(newer)
    os.write(gate[1], b"..")  # now the thread of the first save goes on, and fails
    for descriptor in gate:
        await sleep(0.05)
        os.close(descriptor)

    assert await journal.load() == newer
    assert names_in(tmp_path) == ["hot.journal"]


async def test_the_first_save_removes_what_a_killed_process_left_an_hour_ago(tmp_path):
    old, young = tmp_path / ".async_backfill-old.tmp", tmp_path / ".async_backfill-young.tmp"
    for path in (old, young):
        path.touch()
    hours_ago = time.time() - 2 * 3600
    os.utime(old, (hours_ago, hours_ago))
    await JournalFile(tmp_path / "hot.journal").save(SMALL)

    assert names_in(tmp_path) == [young.name, "hot.journal"]


async def test_while_it_encodes_many_keys_others_go_on(tmp_path):
    turns = 0

    async def live():
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with create_task_group() as tasks:
        tasks.start_soon(live)
        await JournalFile(tmp_path / "hot.journal").save(Heats(dict.fromkeys(range(30_000), 1.0), None))
        tasks.cancel_scope.cancel()

    assert turns > 10
