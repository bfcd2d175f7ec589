"""Replays of real data in the forms in which files are found, and a count that shares no code with them."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
from collections import OrderedDict
from pathlib import Path

import pytest

from async_backfill._commands.cli import main

DATA = Path(__file__).parents[2] / "data"
COLUMNS = ["key", "origin", "temp"]


@pytest.fixture(scope="module")
def rows():
    """A part of the hours of weather, by key."""
    table = csv.DictReader(io.StringIO(gzip.decompress((DATA / "weather.csv.gz").read_bytes()).decode()))
    return {row["key"]: {"origin": row["origin"], "temp": row["temp"]} for row in table}


@pytest.fixture(scope="module")
def flights():
    """The hours that each of some flights asks for, in their order."""
    return gzip.decompress((DATA / "flights_weather.keys.gz").read_bytes()).decode().split("\n")[:8000]


def counted(keys, known, capacity=None, *, is_lru=False):
    """The figures of a plain cache without backfills: hits, absent keys, evictions and keys at the end."""
    cache: OrderedDict[str, None] = OrderedDict()
    figures = dict.fromkeys(("hits", "absent", "evictions"), 0)
    for key in keys:
        if key in cache:
            figures["hits"] += 1
            if is_lru:
                cache.move_to_end(key)
        elif key not in known:
            figures["absent"] += 1
        else:
            cache[key] = None
            if capacity is not None and len(cache) > capacity:
                cache.popitem(last=False)
                figures["evictions"] += 1
    return {**figures, "lookups": len(keys), "misses": len(keys) - figures["hits"], "cache_size": len(cache)}


def replayed(folder, **scenario):
    (folder / "in.json").write_text(json.dumps({"max_backfills": 0, **scenario}), "utf-8")
    assert main(["--input", str(folder / "in.json"), "--output", str(folder / "out.json"), "--quiet"]) == 0
    return json.loads((folder / "out.json").read_text("utf-8"))


def figures_of(summary):
    return {
        name: summary[name] for name in ("hits", "absent", "evictions", "lookups", "misses", "cache_size")
    }


def written(rows, delimiter, *, header=()):
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=delimiter)
    writer.writerows([*header, *((key, row["origin"], row["temp"]) for key, row in rows.items())])
    return buffer.getvalue().encode()


def test_a_table_with_semicolons_is_counted_as_by_hand(tmp_path, rows, flights):
    (tmp_path / "rows").write_bytes(b"sep=;\r\n" + written(rows, ";", header=[COLUMNS]))
    (tmp_path / "keys").write_bytes(bz2.compress("\n".join(flights).encode()))
    source = {"kind": "table", "file": "rows", "key": "key"}
    assert figures_of(replayed(tmp_path, source=source, lookups={"file": "keys"})) == counted(flights, rows)


def test_a_file_with_tabs_and_no_header_is_counted_as_by_hand(tmp_path, rows, flights):
    (tmp_path / "rows").write_bytes(lzma.compress(b"# weather\n" + written(rows, "\t"), preset=0))
    source = {"kind": "file", "file": "rows", "key": "key", "columns": COLUMNS}
    found = replayed(tmp_path, source=source, lookups=flights[:900], capacity=40)
    assert figures_of(found) == counted(flights[:900], rows, 40)
    assert all(result["value"] == rows.get(result["key"]) for result in found["lookup_results"])


def test_an_access_log_before_a_json_array_is_counted_as_by_hand(tmp_path, rows, flights):
    paths = {key: "/" + key.replace("|", "/") for key in flights}
    lines = [
        f'192.0.2.{number % 250} - - [01/Jan/2013:00:00:00 +0000] "{"HEAD" if number % 7 == 0 else "GET"} '
        f'{paths[key]}?flight={number} HTTP/1.1" {404 if number % 11 == 0 else 200} 512 "-" "browser"'
        for number, key in enumerate(flights)
    ]
    asked = [paths[key] for number, key in enumerate(flights) if number % 7 and number % 11]
    array = [{"path": paths[key], **rows[key]} for key in dict.fromkeys(flights) if key in rows]
    (tmp_path / "access.log").write_bytes(gzip.compress("\n".join(lines).encode(), 1))
    (tmp_path / "rows.json").write_text(json.dumps(array, indent=1), "utf-8")
    found = replayed(
        tmp_path,
        source={"kind": "table", "file": "rows.json", "key": "path"},
        lookups={"file": "access.log", "method": ["GET"], "status": ["2xx"]},
        capacity=200,
        eviction="lru",
    )
    assert figures_of(found) == counted(asked, {row["path"] for row in array}, 200, is_lru=True)
